"""Secrets of projects, kept so that only stages get their values."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from wherry.service.domain.secrets import SecretRecord


class SecretStore(Protocol):
    """Secrets by project and name."""

    async def put(self, project: str, name: str, value: bytes, *, user: str, now: datetime) -> None:
        """Keep a secret, in place of the one that was called so before."""
        ...

    async def list_records(self, project: str) -> Sequence[SecretRecord]:
        """What there is, by name; never a value."""
        ...

    async def remove(self, project: str, name: str) -> bool:
        """Remove one; False: there was none of that name."""
        ...

    async def reveal(self, project: str, names: Collection[str]) -> Mapping[str, bytes]:
        """Values by name; what is not there is left out.

        Raises:
            SecretUnreadable: if one was encrypted with another key.
        """
        ...
