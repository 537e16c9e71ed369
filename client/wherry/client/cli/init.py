"""`wherry init`: an existing DVC project made ready in one step."""

import contextlib
import os
import posixpath
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from wherry.client.cli import exits
from wherry.client.cli.settings import Command, Settings
from wherry.client.cli.terminal import Terminal, plain
from wherry.client.client import Client
from wherry.client.dvc_remote import remote_settings
from wherry.client.dvc_remote import write_remote as set_remote
from wherry.client.errors import ClientError, Invalid, Refused, Unreachable
from wherry.client.project import Project, find_project
from wherry.client.scanning import list_files
from wherry.client.survey.proposal import Basis, Proposal, propose
from wherry.client.survey.survey import Survey, survey_project
from wherry.client.unwritable import cannot_write
from wherry.v1.pipelines_pb2 import Pipeline

_SETTINGS_FILE = ".dvc/wherry.toml"
# What every service of version 0.1 reads.
_ALWAYS_READABLE = frozenset({"image", "network", "env"})
# Where there is no service to ask: it will be of this version or a later one.
_READABLE_TODAY = _ALWAYS_READABLE | {"requirements", "gpus", "secrets"}
_PATHS_SHOWN = 3
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the service said, as far as it could be asked."""

    basis: Basis
    pipeline: Pipeline | None
    trouble: ClientError | None


@dataclass(frozen=True, slots=True)
class _Finding:
    """Something that whoever starts with Wherry should know."""

    id: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is said at the end."""

    findings: tuple[_Finding, ...]
    next_steps: tuple[str, ...]
    written: bool
    has_remote: bool


@click.command(cls=Command)
@click.option(
    "--image", default="", help="Container image for the stages, over what the project seems to need."
)
@click.option("-f", "--force", is_flag=True, help="Replace a .dvc/wherry.toml that is there.")
@click.option("--dry", is_flag=True, help="Only show the file, and what was seen; nothing is written.")
@click.option(
    "--write-remote/--no-write-remote",
    default=None,
    help="Make the service's bucket the project's default DVC remote, or do not ask.",
)
@click.option("--json", "as_json", is_flag=True, help="Print wherry.init/1.")
@click.pass_obj
def init(  # noqa: PLR0917 - one parameter for each flag
    settings: Settings,
    image: str,
    force: bool,  # noqa: FBT001 - click passes flags by name
    dry: bool,  # noqa: FBT001
    write_remote: bool | None,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> int:
    """Make an existing DVC project ready for Wherry: look at it, and write .dvc/wherry.toml.

    Looks for the Python version, the requirements or lock file, modules that need PYTHONPATH, GPU libraries, and
    variables and secrets that the stages read; proposes settings for them, each with where it comes from; and says
    what the stages read without declaring it. Nothing of the project is run.
    """
    terminal = Terminal(settings)
    project = find_project(settings.folder, os.environ)
    file = project.root / _SETTINGS_FILE
    if file.exists() and not (force or dry):
        raise Refused(
            f"{_SETTINGS_FILE} is there already",
            hint="edit it; or --dry shows what would be proposed now, --force replaces it",
            where=str(file),
            reason="SETTINGS_EXIST",
        )
    with contextlib.ExitStack() as stack:
        client, trouble = _connect(settings, stack)
        asked = _ask(client, project, trouble)
        files = list_files(project)
        survey = survey_project(project.root, files, asked.pipeline)
        proposal = propose(survey, asked.basis, image=image)
        if not dry:
            _write(file, proposal.text)
        has_remote = False
        if client is not None and not dry and _wants_remote(settings, write_remote):
            set_remote(project.root, remote_settings(client.dvc_remote()))
            has_remote = True
    told = _Told(
        findings=tuple(_findings(survey, asked, proposal)),
        next_steps=tuple(
            _next_steps(
                asked,
                written=not dry,
                has_remote=has_remote,
                whole=not _has_stages_here(project, files),
            )
        ),
        written=not dry,
        has_remote=has_remote,
    )
    if as_json:
        terminal.document(_document(survey, proposal, told))
    else:
        _tell(terminal, proposal, told)
    return exits.SUCCESS


def _connect(settings: Settings, stack: contextlib.ExitStack) -> tuple[Client | None, ClientError | None]:
    """A client when there is a service; without one the files still say a lot."""
    try:
        client = stack.enter_context(
            Client(
                server=settings.server, profile=settings.profile, folder=settings.folder, environ=os.environ
            )
        )
        client.info(timeout=_PATIENCE_S)
    except Unreachable as error:
        return None, error
    return client, None


def _ask(client: Client | None, project: Project, trouble: ClientError | None) -> _Asked:
    prefix = "." if project.git_root is None else project.root.relative_to(project.git_root).as_posix()
    if client is None:
        return _Asked(basis=Basis(readable=_READABLE_TODAY, prefix=prefix), pipeline=None, trouble=trouble)
    info = client.info()
    basis = Basis(
        readable=frozenset(info.stage_settings) or _ALWAYS_READABLE,
        default_image=info.default_image,
        prefix=prefix,
    )
    try:
        return _Asked(basis=basis, pipeline=client.describe(), trouble=None)
    except Invalid as error:
        return _Asked(basis=basis, pipeline=None, trouble=error)


def _wants_remote(settings: Settings, given: bool | None) -> bool:  # noqa: FBT001 - None is a third answer
    if given is not None:
        return given
    if settings.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    question = "Make the service's bucket this project's default DVC remote (.dvc/config.local, not in git)?"
    return click.confirm(question, default=False, err=True)


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    except OSError as exc:
        raise cannot_write(file, exc) from exc
    finally:
        temporary.unlink(missing_ok=True)


def _findings(survey: Survey, asked: _Asked, proposal: Proposal) -> Iterator[_Finding]:
    if asked.trouble is not None:
        where = f" ({asked.trouble.where})" if asked.trouble.where else ""
        yield _Finding(
            "NO_PIPELINE",
            f"the stages could not be looked at: {asked.trouble.message}{where}",
            asked.trouble.hint or "mend it, then run `wherry init --force`",
        )
    elif asked.pipeline is not None and not any(not stage.is_source for stage in asked.pipeline.stages):
        yield _Finding(
            "NO_STAGES", "there is no stage yet", "`wherry stage add` makes one, as `dvc stage add` does"
        )
    if survey.requirements is not None and proposal.requirements is None:
        yield _Finding(
            "REQUIREMENTS",
            f"{survey.requirements.file} is not installed by this service",
            f"use an image that has what it lists: set image in {_SETTINGS_FILE}",
        )
    if survey.packages:
        yield _Finding(
            "NO_REQUIREMENTS",
            f"the stages import {_few(survey.packages)}, and no file of the project says what to install",
            f"list them in requirements.txt, with versions, and set requirements in {_SETTINGS_FILE}; "
            "or take an image that has them",
        )
    if proposal.secrets:
        yield _Finding(
            "SECRETS",
            f"the stages read what look like secrets: {', '.join(proposal.secrets)}",
            f"never write them into a file of the project: `wherry secret set {proposal.secrets[0]}`, then {_SETTINGS_FILE}",
        )
    if survey.has_dotenv:
        yield _Finding(
            "DOTENV",
            ".env is read by the stages, and stays on this machine: git does not list it",
            f"name its variables in {_SETTINGS_FILE}, secrets as secrets",
        )
    yield from _undeclared_findings(survey)
    for path in survey.unreadable:
        yield _Finding("UNREADABLE", f"{path} is not Python 3, or too long: not looked at")


def _undeclared_findings(survey: Survey) -> Iterator[_Finding]:
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in survey.undeclared:
        alike.setdefault(one.paths, []).append(one.stage)
        if one.outputs:
            yield _Finding(
                "UNDECLARED_OUTPUT",
                f"stage {one.stage} seems to read {_few(one.outputs)}, which another stage writes: "
                "it will not be there",
                "add it to the stage's deps in dvc.yaml",
            )
    for paths, stages in alike.items():
        one_stage, one_path = len(stages) == 1, len(paths) == 1
        if paths:
            yield _Finding(
                "UNDECLARED",
                f"{'stage' if one_stage else 'stages'} {_few(tuple(stages))} {'reads' if one_stage else 'read'} "
                f"{_few(paths)} without declaring {'it' if one_path else 'them'}: "
                f"DVC does not run {'it' if one_stage else 'them'} again when {'that' if one_path else 'one'} changes",
                "add to deps (or params) in dvc.yaml",
            )


def _few(paths: tuple[str, ...]) -> str:
    more = len(paths) - _PATHS_SHOWN
    return ", ".join(paths[:_PATHS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _has_stages_here(project: Project, files: Sequence[str]) -> bool:
    """False where all dvc.yaml files are in other folders."""
    pipelines = [path for path in files if path.rpartition("/")[2] == "dvc.yaml"]
    return not pipelines or posixpath.join(project.folder, "dvc.yaml") in pipelines


def _next_steps(asked: _Asked, *, written: bool, has_remote: bool, whole: bool) -> Iterator[str]:
    """`whole`: there is no dvc.yaml here, so the stages of other folders have to be asked for."""
    if not written:
        yield "wherry init"
    if isinstance(asked.trouble, Unreachable):
        yield "wherry up"
    if written:
        yield f"git add {_SETTINGS_FILE}"
    yield "wherry lint"
    yield "wherry status -P" if whole else "wherry status"
    yield "wherry repro -P" if whole else "wherry repro"
    if not has_remote:
        yield "wherry dvc-remote --write"


_MEANINGS = {
    "wherry init": "writes the file",
    "wherry up": "starts a service on this machine; or name your team's with WHERRY_SERVER",
    f"git add {_SETTINGS_FILE}": "so that everybody has the same settings",
    "wherry lint": "finds mistakes before anything runs",
    "wherry status": "says what would run, and why",
    "wherry status -P": "says what would run of all dvc.yaml files, and why",
    "wherry repro": "runs it",
    "wherry repro -P": "runs it",
    "wherry dvc-remote --write": "lets `dvc pull` and `dvc push` use the service's bucket",
}


def _tell(terminal: Terminal, proposal: Proposal, told: _Told) -> None:
    if told.written:
        terminal.note(f"{_SETTINGS_FILE} is written:")
    if not terminal.quiet:
        for line in proposal.text.rstrip("\n").split("\n"):
            terminal.answer(plain(f"    {line}" if told.written and line else line))
    if told.has_remote:
        terminal.note("Remote 'wherry' is set in .dvc/config.local and is the default now.")
    for finding in told.findings:
        terminal.warn(finding.message)
        if finding.hint:
            terminal.note(f"  hint: {finding.hint}")
    terminal.note("Next:")
    width = max(len(step) for step in told.next_steps)
    for step in told.next_steps:
        terminal.note(f"  {step:<{width}}  {_MEANINGS[step]}")


def _document(survey: Survey, proposal: Proposal, told: _Told) -> dict[str, object]:
    return {
        "schema": "wherry.init/1",
        "path": _SETTINGS_FILE,
        "written": told.written,
        "text": proposal.text,
        "python": survey.python and survey.python.version,
        "requirements": survey.requirements and survey.requirements.file,
        "settings": {
            "image": proposal.image,
            "requirements": proposal.requirements,
            "env": proposal.env,
        },
        "gpu_libraries": list(survey.gpu),
        "variables": [
            {
                "name": variable.name,
                "where": variable.where,
                "default": variable.default,
                "secret": variable.secret,
            }
            for variable in survey.variables
        ],
        "undeclared": [
            {"stage": one.stage, "paths": list(one.paths), "outputs": list(one.outputs)}
            for one in survey.undeclared
        ],
        "findings": [
            {"id": finding.id, "message": finding.message, "hint": finding.hint} for finding in told.findings
        ],
        "remote_written": told.has_remote,
        "next": list(told.next_steps),
    }
