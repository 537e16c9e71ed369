"""The client's own settings, and where each comes from: flag, environment, project, profile, default."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.client.errors import BadConfiguration, FileTrouble
from wherry.client.profiles import profiles_file, read_profiles
from wherry.client.project import find_root

SHARED_FILE = ".dvc/wherry.toml"
OWN_FILE = ".dvc/wherry.local.toml"

PROJECT_KEYS = ("server", "project")
"""What a project's files may say to the client."""
KEYS = (*PROJECT_KEYS, "profile", "user")

_VARIABLES = {
    "server": "WHERRY_SERVER",
    "project": "WHERRY_PROJECT",
    "profile": "WHERRY_PROFILE",
    "user": "WHERRY_USER",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, and who says so."""

    key: str
    value: str
    origin: str


def settings_in_order(
    folder: Path, environ: Mapping[str, str], *, server: str | None = None, profile: str | None = None
) -> Iterator[Setting]:
    """Yield everything that is said, the strongest first: of each key the first counts.

    Raises:
        BadConfiguration: if a file cannot be read.
    """
    if server:
        yield Setting("server", server, "flag --server")
    if profile:
        yield Setting("profile", profile, "flag --profile")
    for key, variable in _VARIABLES.items():
        if environ.get(variable):
            yield Setting(key, environ[variable], f"environment {variable}")
    profiles = read_profiles(environ)
    named = profile or environ.get("WHERRY_PROFILE", "")
    file = profiles_file(environ)
    if named:  # somebody names it here and now: before what a file says
        yield Setting("server", profiles.get(named).server, f"profile {named} in {file}")
    root = find_root(folder)
    for name in (OWN_FILE, SHARED_FILE) if root is not None else ():
        assert root is not None
        yield from (Setting(key, value, name) for key, value in _read_keys(root / name).items())
    if not named and profiles.active:
        yield Setting("profile", profiles.active, str(file))
        yield Setting("server", profiles.get(profiles.active).server, f"profile {profiles.active} in {file}")


def find_setting(
    key: str,
    folder: Path,
    environ: Mapping[str, str],
    *,
    server: str | None = None,
    profile: str | None = None,
) -> Setting | None:
    """Find what counts for one key; None when nobody says anything."""
    everything = settings_in_order(folder, environ, server=server, profile=profile)
    return next((setting for setting in everything if setting.key == key), None)


def write_setting(file: Path, key: str, value: str | None) -> None:
    """Set a key of a project's file, or with None remove it; all else in it stays as it is.

    Raises:
        FileTrouble: if the file cannot be read or written.
    """
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        temporary = file.with_name(f".{file.name}.{os.urandom(8).hex()}.tmp")
        try:
            temporary.write_text(edit_key(text, key, value), encoding="utf-8")
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, UnicodeDecodeError) as exc:
        raise FileTrouble(f"cannot write {file}: {exc}") from exc


def edit_key(text: str, key: str, value: str | None) -> str:
    """Edit a key that stands before all tables of a TOML text."""
    lines = text.splitlines()
    tables = (number for number, line in enumerate(lines) if line.lstrip().startswith("["))
    first_table = next(tables, len(lines))
    is_it = re.compile(rf"\s*{re.escape(key)}\s*=")
    kept = [line for line in lines[:first_table] if not is_it.match(line)]
    if value is not None:
        while kept and not kept[-1].strip():
            kept.pop()
        kept.append(f"{key} = {json.dumps(value)}")
        if first_table < len(lines):
            kept.append("")
    return "".join(f"{line}\n" for line in [*kept, *lines[first_table:]])


def _read_keys(file: Path) -> dict[str, str]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadConfiguration(
            f"cannot read {file}: {exc}", where=str(file), hint="it must be TOML: mend the line that is named"
        ) from exc
    return {key: str(document[key]) for key in PROJECT_KEYS if document.get(key)}
