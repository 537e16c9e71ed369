"""Profiles: services that somebody uses, by name, in `~/.config/wherry/config.toml` (mode 0600: it holds tokens)."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wherry.client.errors import BadConfiguration, Unknown
from wherry.client.unwritable import cannot_write

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A service, and how to show who calls."""

    server: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """All of them."""

    active: str = ""
    """The name of the one that is used when nothing else is said; empty: the embedded service of the machine."""
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def get(self, name: str) -> Profile:
        """Return the profile of a name.

        Raises:
            Unknown: if there is none.
        """
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "there is none"
            raise Unknown(
                f"there is no profile {name!r}",
                hint=f"profiles: {known}; `wherry login URL --name {name}` makes it",
                reason="NO_PROFILE",
            )
        return self.by_name[name]

    def having(self, name: str, profile: Profile) -> "Profiles":
        """Make it the active one, under a name, beside the others.

        Raises:
            BadConfiguration: if the name cannot be one.
        """
        if not _NAME.fullmatch(name):
            raise BadConfiguration(
                f"not a name for a profile: {name!r}", hint="letters, digits, dots and dashes"
            )
        return Profiles(active=name, by_name={**self.by_name, name: profile})

    def without(self, name: str) -> "Profiles":
        """Leave one out; if it was active none is."""
        self.get(name)
        rest = {other: profile for other, profile in self.by_name.items() if other != name}
        return Profiles(active="" if self.active == name else self.active, by_name=rest)

    def using(self, name: str) -> "Profiles":
        """Make another the active one; empty: none."""
        if name:
            self.get(name)
        return replace(self, active=name)


def profiles_file(environ: Mapping[str, str]) -> Path:
    """Say where they are kept."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    return (Path(folder) if folder.startswith("/") else Path.home() / ".config") / "wherry" / "config.toml"


def read_profiles(environ: Mapping[str, str]) -> Profiles:
    """Read them; none when there is no file.

    Raises:
        BadConfiguration: if the file is not what it should be.
    """
    file = profiles_file(environ)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Profiles()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadConfiguration(
            f"cannot read {file}: {exc}", where=str(file), hint="mend it, or remove it"
        ) from exc
    tables = document.get("profiles", {})
    by_name = {}
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if not isinstance(table, dict) or not isinstance(table.get("server"), str):
            raise BadConfiguration(
                f"profile {name!r} names no server", where=str(file), hint='server = "grpcs://…"'
            )
        by_name[str(name)] = Profile(server=table["server"], token=str(table.get("token", "")))
    active = str(document.get("profile", ""))
    return Profiles(active=active if active in by_name else "", by_name=by_name)


def write_profiles(environ: Mapping[str, str], profiles: Profiles) -> Path:
    """Write them, for their owner alone; returns the file.

    Raises:
        FileTrouble: if it cannot be written.
    """
    file = profiles_file(environ)
    lines = ["# Written by `wherry login` and `wherry profile`. It holds tokens: nobody else should read it."]
    if profiles.active:
        lines.append(f"profile = {json.dumps(profiles.active)}")
    for name, profile in sorted(profiles.by_name.items()):
        lines += ["", f"[profiles.{json.dumps(name)}]", f"server = {json.dumps(profile.server)}"]
        if profile.token:
            lines.append(f"token = {json.dumps(profile.token)}")
    temporary = file.with_name(f".{file.name}.{os.urandom(8).hex()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write("\n".join(lines) + "\n")
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as exc:
        raise cannot_write(file, exc) from exc
    return file
