"""`wherry dvc-remote --write`: the bucket as a remote in `.dvc/config.local`, where DVC keeps secrets."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.client.dvc_config import read_sections
from wherry.client.errors import FileTrouble
from wherry.v1.system_pb2 import GetDvcRemoteResponse

REMOTE = "wherry"
_SECTION = f"['remote \"{REMOTE}\"']"
_SECTION_NAMES = frozenset({_SECTION, f'[remote "{REMOTE}"]', f"[\"remote '{REMOTE}'\"]"})


def remote_settings(remote: GetDvcRemoteResponse) -> dict[str, str]:
    """Say it with DVC's own names."""
    return {
        "url": remote.url,
        "endpointurl": remote.endpointurl,
        "region": remote.region,
        "access_key_id": remote.access_key_id,
        "secret_access_key": remote.secret_access_key,
    }


@dataclass(frozen=True, slots=True)
class DefaultRemote:
    """The remote that DVC uses when none is named."""

    name: str
    url: str
    endpointurl: str


def find_default_remote(root: Path) -> DefaultRemote | None:
    """Read it from the project's own settings; what stands beside the clone goes before what is in git."""
    sections: dict[str, dict[str, str]] = {}
    for name in ("config", "config.local"):
        for section, values in read_sections(root / ".dvc" / name).items():
            sections.setdefault(section, {}).update(values)
    name = sections.get("core", {}).get("remote", "")
    if not name:
        return None
    said = next(
        (sections[one] for one in (f"'remote \"{name}\"'", f'remote "{name}"') if one in sections), {}
    )
    return DefaultRemote(name=name, url=said.get("url", ""), endpointurl=said.get("endpointurl", ""))


def write_remote(root: Path, settings: Mapping[str, str]) -> Path:
    """Set the remote, and make it the default; all else in the file stays as it is. Mode 0600.

    Raises:
        FileTrouble: if the file cannot be read or written.
    """
    file = root / ".dvc" / "config.local"
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        temporary = file.with_name(f".config.local.{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(set_remote(text, settings))
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, UnicodeDecodeError) as exc:
        raise FileTrouble(f"cannot write {file}: {exc}") from exc
    return file


def set_remote(text: str, settings: Mapping[str, str]) -> str:
    """Edit the text of a DVC configuration: an INI file as configobj writes it."""
    sections = _split(text)
    remote = [_SECTION, *(f"    {key} = {_quote(value)}" for key, value in settings.items() if value)]
    kept = [section for section in sections if section[0].strip() not in _SECTION_NAMES]
    core = next((section for section in kept if section[0].strip() == "[core]"), None)
    if core is None:
        core = ["[core]"]
        kept.append(core)
    core[1:] = [f"    remote = {REMOTE}", *(line for line in core[1:] if _key(line) != "remote")]
    lines = [line for section in [*kept, remote] for line in section if line is not _NO_HEADER]
    return "\n".join(lines).strip("\n") + "\n"


_NO_HEADER = ""


def _split(text: str) -> list[list[str]]:
    """Cut into sections, each with its header first; what stands before the first has an empty one."""
    sections: list[list[str]] = [[_NO_HEADER]]
    for line in text.splitlines():
        if line.strip().startswith("["):
            sections.append([line])
        else:
            sections[-1].append(line)
    return sections if len(sections[0]) > 1 else sections[1:]


def _key(line: str) -> str:
    return line.partition("=")[0].strip()


def _quote(value: str) -> str:
    """As configobj: a comma or a hash sign would otherwise begin a list or a comment."""
    return f'"{value}"' if any(character in value for character in ",#'") else value
