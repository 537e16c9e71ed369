"""`wherry doctor`: everything that Wherry needs, tried out, with what to fix."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from wherry.client import __version__
from wherry.client.cli import exits
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain
from wherry.client.client import Client
from wherry.client.dvc_remote import find_default_remote
from wherry.client.errors import ClientError, NotInProject, Unreachable
from wherry.v1.system_pb2 import CheckFinding

# Signed requests to a store are refused from 15 minutes on (Amazon S3, RequestTimeTooSkewed); logs confuse before.
_SKEW_WARN_S = 5.0
_SKEW_FAIL_S = 300.0

_FREE_LOW_BYTES = 10**9

_COLORS = {"ok": "succeeded", "warning": "run", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class Check:
    """What one check came to."""

    name: str
    state: str
    """ok, warning or failed."""
    message: str
    hint: str | None = None


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.doctor/1.")
@click.option("--fix", is_flag=True, help="Remove what services that run no more left on the machine.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool, fix: bool) -> int:  # noqa: FBT001 - click passes flags by name
    """Check everything that Wherry needs, and say what to fix.

    On this machine: git, the project, the disk. At the service: whether it answers, its version and clock, the Docker
    engine, the disk, and that the store can do what Wherry needs of it. Exit code 1 if something failed, 69 if the
    service does not answer.
    """
    terminal = Terminal(settings)
    checks = [_check_git(), *_check_folder(settings)]
    code = exits.SUCCESS
    try:
        with Client(
            server=settings.server, profile=settings.profile, folder=settings.folder, environ=os.environ
        ) as client:
            if fix:
                checks += _remove_leftovers(client)
            checks += _check_service(client)
    except ClientError as error:
        checks.append(Check("service", "failed", error.message, error.hint or None))
        code = exits.UNREACHABLE if isinstance(error, Unreachable) else exits.exit_code(error)
    if code == exits.SUCCESS and any(check.state == "failed" for check in checks):
        code = exits.STAGE_FAILED
    if as_json:
        terminal.document(
            {
                "schema": "wherry.doctor/1",
                "ok": code == exits.SUCCESS,
                "checks": [asdict(one) for one in checks],
            }
        )
        return code
    for check in checks:
        terminal.answer(
            f"{terminal.paint(f'{check.state:<8}', _COLORS[check.state])} {check.name:<17} {plain(check.message)}"
        )
        if check.hint:
            terminal.answer(f"{'':<27}{plain(check.hint)}")
    return code


def _check_git() -> Check:
    try:
        done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return Check(
            "git", "warning", "git does not run here", "Without it .gitignore is not heeded: install git."
        )
    return Check("git", "ok", done.stdout.strip())


def _check_folder(settings: Settings) -> Iterator[Check]:
    free = shutil.disk_usage(settings.folder).free
    said = f"{free / 10**9:.1f} GB are free here"
    if free < _FREE_LOW_BYTES:
        yield Check("client.disk", "warning", said, "`wherry pull` may not have room: free some.")
    else:
        yield Check("client.disk", "ok", said)


def _remove_leftovers(client: Client) -> Iterator[Check]:
    for left in client.remove_leftovers():
        whose = f" of {left.home}" if left.home else ""
        yield Check("fixed", "ok", f"removed the {left.kind} {left.name}{whose}")


def _check_service(client: Client) -> Iterator[Check]:
    info = client.info()
    yield Check("service", "ok", f"{info.node} answers, store {info.store_url}")
    if info.version == __version__:
        yield Check("version", "ok", f"client and service are {__version__}")
    else:
        said = f"the client is {__version__}, the service {info.version}"
        yield Check("version", "warning", said, "Install the same version on both, the service first.")
    try:
        yield Check("project", "ok", f"the DVC project is {client.project.root}")
    except NotInProject as error:
        yield Check("project", "warning", error.message, "Go to the project, or make one with `dvc init`.")
    else:
        yield _check_remote(client)
    begin = time.time()
    answer = client.check_service()
    end = time.time()
    yield _check_clock(answer.now.ToNanoseconds() / 1e9, begin, end)
    for finding in answer.findings:
        yield _from_service(finding)


def _check_remote(client: Client) -> Check:
    """Whether `dvc push` and `dvc pull` use the service's bucket: then what DVC stores is known to Wherry."""
    found = find_default_remote(client.project.root)
    hint = "`wherry dvc-remote --write` makes the service's bucket the default."
    if found is None:
        return Check("dvc.remote", "warning", "DVC has no default remote here", hint)
    bucket = client.dvc_remote()
    if found.url.rstrip("/") == bucket.url.rstrip("/") and found.endpointurl == bucket.endpointurl:
        return Check("dvc.remote", "ok", f"DVC's remote {found.name!r} is the service's bucket")
    said = f"DVC's remote {found.name!r} is {found.url or 'unknown'}, not the service's bucket {bucket.url}"
    return Check("dvc.remote", "warning", said, hint)


def _check_clock(service: float, begin: float, end: float) -> Check:
    """The service looked at its clock at the end of the call: it is off by what lies outside of the call."""
    off = max(begin - service, service - end, 0.0)
    if off <= _SKEW_WARN_S:
        return Check("clock", "ok", "the clocks agree")
    state = "failed" if off > _SKEW_FAIL_S else "warning"
    return Check(
        "clock", state, f"the clocks are {off:.0f} s apart", "Have both machines set their clocks by NTP."
    )


def _from_service(finding: CheckFinding) -> Check:
    state = CheckFinding.State.Name(finding.state).removeprefix("STATE_").lower()
    return Check(
        finding.name, state if state in _COLORS else "warning", finding.message, finding.hint or None
    )
