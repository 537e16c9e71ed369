"""Where the service is and how to show who calls: flag, environment, or the embedded service of this machine."""

import getpass
import ipaddress
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from wherry.client.configuration import SHARED_FILE, find_setting
from wherry.client.errors import BadConfiguration, Unreachable
from wherry.client.profiles import read_profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A service to talk to."""

    target: str
    """host:port"""
    secure: bool
    """Whether TLS is spoken."""
    token: str = field(default="", repr=False)
    embedded: bool = False
    """Whether it was found as the embedded service of this machine."""
    origin: str = ""
    """Who names it, such as a flag or a file; empty for the embedded one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedRecord:
    """What a running embedded service says of itself in `<home>/service.json`."""

    pid: int
    address: str
    token_file: Path


def wherry_home(environ: Mapping[str, str]) -> Path:
    """Say where the embedded service keeps its state: WHERRY_HOME, else the platform's data folder."""
    if environ.get("WHERRY_HOME"):
        return Path(environ["WHERRY_HOME"]).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "wherry"
    if os.name == "nt":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "wherry"
    # The XDG base directory specification: a relative value is to be ignored.
    data = environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data.startswith("/") else Path.home() / ".local" / "share") / "wherry"


def read_embedded(home: Path) -> EmbeddedRecord | None:
    """Read `<home>/service.json`; None when there is none, or it is not whole."""
    try:
        said = json.loads((home / "service.json").read_text(encoding="utf-8"))
        return EmbeddedRecord(
            pid=int(said["pid"]),
            address=str(said["address"]),
            token_file=home / str(said.get("token_file") or "token"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find_endpoint(
    server: str | None, environ: Mapping[str, str], *, folder: Path | None = None, profile: str | None = None
) -> Endpoint:
    """Decide which service to talk to: what flags, environment, project and profile say, else the embedded one.

    The token is WHERRY_TOKEN, else the one that is kept for this very service. A server that only the project's own
    .dvc/wherry.toml names is not shown WHERRY_TOKEN: whoever changes that file would choose who gets it.

    Raises:
        BadConfiguration: if the address is malformed, unprotected to another machine, or not to be shown the token.
        Unknown: if there is no such profile.
        Unreachable: if none is named and none runs on this machine.
    """
    named = find_setting("server", folder or Path(), environ, server=server, profile=profile)
    record = read_embedded(wherry_home(environ))
    if named is not None:
        target, secure = parse_address(named.value, origin=named.origin)
        token = environ.get("WHERRY_TOKEN", "")
        if named.origin == SHARED_FILE or not token:
            kept = _kept_token(target, environ, record)
            if token and kept != token:
                raise BadConfiguration(
                    f"WHERRY_TOKEN is not shown to {named.value}: only {SHARED_FILE} names that server",
                    hint=f"say that you mean it: WHERRY_SERVER={named.value}, or `wherry login {named.value}`",
                )
            token = kept
        return Endpoint(target=target, secure=secure, token=token, origin=named.origin)
    if record is None:
        raise Unreachable(
            "no server is named and none runs on this machine",
            hint="start one with `wherry up`, or name one with --server, WHERRY_SERVER or `wherry login`",
            reason="NO_SERVER",
        )
    target, secure = parse_address(record.address)
    token = environ.get("WHERRY_TOKEN", "") or _read_token(record)
    return Endpoint(target=target, secure=secure, token=token, embedded=True)


def _kept_token(target: str, environ: Mapping[str, str], record: EmbeddedRecord | None) -> str:
    """The token of a profile goes to the service of that profile only, whoever names it."""
    if record is not None and parse_address(record.address)[0] == target:
        return _read_token(record)
    for kept in read_profiles(environ).by_name.values():
        if kept.token and parse_address(kept.server)[0] == target:
            return kept.token
    return ""


def parse_address(text: str, *, origin: str = "") -> tuple[str, bool]:
    """Read "grpcs://host:port", or "grpc://host:port" for loopback; returns host:port and whether it is TLS.

    `origin` says who names it.

    Raises:
        BadConfiguration: if it is neither, or grpc:// to another machine.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise BadConfiguration(
            f"not the address of a service: {text!r}: {exc}", hint="write grpcs://HOST:PORT", where=origin
        ) from exc
    if parts.scheme not in {"grpc", "grpcs"} or not host or parts.path not in {"", "/"}:
        raise BadConfiguration(
            f"not the address of a service: {text!r}", hint=f"write {_meant(text)}", where=origin
        )
    secure = parts.scheme == "grpcs"
    if not secure and not _is_loopback(host):
        raise BadConfiguration(
            f"grpc:// to {host} would send the token and the project unprotected",
            hint=f"use grpcs://{host}" + (f":{port}" if port else ""),
            where=origin,
        )
    if port is None and not secure:
        raise BadConfiguration(f"no port in {text!r}", hint="write grpc://127.0.0.1:PORT", where=origin)
    return f"{f'[{host}]' if ':' in host else host}:{port or 443}", secure


def user_name(environ: Mapping[str, str]) -> str:
    """Say who calls: WHERRY_USER, else the name at login; ASCII, because it travels in a header."""
    name = environ.get("WHERRY_USER", "")
    if not name:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # no entry for this user id, as in many containers
            name = "unknown"
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name).strip() or "unknown"


def _meant(text: str) -> str:
    """The address that somebody may have had in mind who wrote another scheme, a path, or none."""
    place = text.rpartition("://")[2].partition("/")[0]
    host = urlsplit(f"//{place}").hostname
    if not host or not set(place).isdisjoint(" @?#"):
        return "grpcs://HOST:PORT"
    return f"{'grpc' if _is_loopback(host) else 'grpcs'}://{place}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_token(record: EmbeddedRecord) -> str:
    try:
        return record.token_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise BadConfiguration(
            f"cannot read the service's token: {exc}", hint="run as the user who ran `wherry up`"
        ) from exc
