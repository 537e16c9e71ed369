"""Secrets in SQL, encrypted: AES-256-GCM, each bound to its project and name.

Whoever has the database alone has nothing, and a row that is moved to another name or project does not open.
"""

import base64
import binascii
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, select

from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import secrets
from wherry.service.domain.errors import Precondition, SecretUnreadable
from wherry.service.domain.secrets import SecretRecord
from wherry.service.ports.secrets import SecretStore

_KEY_BYTES = 32
_NONCE_BYTES = 12


class SqlSecretStore(SecretStore):
    """Secrets in the table `secrets`."""

    def __init__(self, database: Database, *, key: bytes) -> None:
        """Encrypt with `key`, 32 bytes."""
        self._database = database
        self._cipher = AESGCM(key)

    async def put(self, project: str, name: str, value: bytes, *, user: str, now: datetime) -> None:
        """See the port."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, value, _bound_to(project, name))
        row = {
            "project": project,
            "name": name,
            "sealed": base64.b64encode(sealed).decode(),
            "user": user,
            "set_at": now,
        }
        statement = self._database.insert(secrets).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=[secrets.c.project, secrets.c.name],
            set_={column: statement.excluded[column] for column in ("sealed", "user", "set_at")},
        )
        await self._database.run(lambda connection: connection.execute(statement))

    async def list_records(self, project: str) -> Sequence[SecretRecord]:
        """See the port."""
        statement = (
            select(secrets.c.name, secrets.c.user, secrets.c.set_at)
            .where(secrets.c.project == project)
            .order_by(secrets.c.name)
        )
        rows = await self._database.run(lambda connection: connection.execute(statement).all())
        return [SecretRecord(name=row.name, user=row.user, set_at=row.set_at) for row in rows]

    async def remove(self, project: str, name: str) -> bool:
        """See the port."""
        statement = delete(secrets).where(secrets.c.project == project, secrets.c.name == name)
        return await self._database.run(lambda connection: connection.execute(statement).rowcount > 0)

    async def reveal(self, project: str, names: Collection[str]) -> Mapping[str, bytes]:
        """See the port."""
        if not names:
            return {}
        statement = select(secrets.c.name, secrets.c.sealed).where(
            secrets.c.project == project, secrets.c.name.in_(sorted(names))
        )
        rows = await self._database.run(lambda connection: connection.execute(statement).all())
        return {row.name: self._open(project, row.name, row.sealed) for row in rows}

    def _open(self, project: str, name: str, sealed: str) -> bytes:
        raw = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(project, name))
        except InvalidTag as exc:
            raise SecretUnreadable(
                f"the secret {name!r} was encrypted with another key than the service has now",
                hint=f"Give the service its former key, or set it again: `wherry secret set {name}`.",
            ) from exc


def read_or_make_key(given: str, path: Path) -> bytes:
    """The key that secrets are encrypted with: as given, in Base64, else from a file that only its owner can read.

    Raises:
        Precondition: if it is not 32 bytes in Base64. The text does not show it.
    """
    if given:
        return _decode(given, "WHERRY_SECRETS_KEY")
    if path.exists():
        return _decode(path.read_text(), str(path))
    key = os.urandom(_KEY_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(key).decode() + "\n")
    return key


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise Precondition(
            f"{where} must hold a key of {_KEY_BYTES} bytes in Base64",
            hint="`openssl rand -base64 32` makes one; secrets that were set with another must be set again.",
        )
    return key


def _bound_to(project: str, name: str) -> bytes:
    return f"wherry secret 1\0{project}\0{name}".encode()
