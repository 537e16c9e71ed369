"""Everything that can be seen of a project without running it, put together."""

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.client.survey.commands import sets_variable, started_files, variables_read
from wherry.client.survey.modules import Closure, find_closure, foreign_packages
from wherry.client.survey.needs import (
    LIBRARY_VARIABLES,
    PythonVersion,
    Requirements,
    find_python,
    find_requirements,
    gpu_libraries,
)
from wherry.client.survey.sources import PythonSource, read_source
from wherry.v1.pipelines_pb2 import Pipeline, PipelineStage

_SOURCE_BYTES_MAX = 1024 * 1024
_SOURCES_MAX = 5_000

_SECRET = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS?|AUTH|DSN|PAT)(?:_ID)?(?:$|_)|DATABASE_URL",
    re.IGNORECASE,
)
# Lists that lie elsewhere, or are called otherwise, and images of the project's own.
_SAYS_WHAT_TO_INSTALL = re.compile(
    r"requirements[^/]*(/.*)?\.txt$|(^|/)(Dockerfile|Containerfile|conda[^/]*\.ya?ml$)"
)
# What every shell has, and what DVC and Wherry set themselves.
_ORDINARY = re.compile(
    r"PATH|HOME|USER|USERNAME|LOGNAME|PWD|OLDPWD|SHELL|LANG|LC_\w+|TZ|TERM|TMPDIR|TEMP|TMP|HOSTNAME|PYTHONPATH|PYTHON\w*|"
    r"DVC_\w+|WHERRY_\w+|\w+_NUM_THREADS|CI|CUDA_VISIBLE_DEVICES|LOCAL_RANK|RANK|WORLD_SIZE|MASTER_ADDR|MASTER_PORT|IFS|RANDOM|SECONDS|COLUMNS"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVariable:
    """An environment variable that the stages read."""

    name: str
    where: str
    """The file and line, or the stage, that reads it."""
    default: str | None
    secret: bool
    """Whether its name looks like that of a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeclared:
    """What a stage reads and does not declare."""

    stage: str
    paths: tuple[str, ...]
    """Files of the project: the stage finds them, but is not run again when they change."""
    outputs: tuple[str, ...]
    """Outputs of other stages: the stage does not find them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was seen."""

    python: PythonVersion | None
    requirements: Requirements | None
    packages: tuple[str, ...]
    """What the stages import that has to be installed, where no file at all says what that is."""
    places: Mapping[str, tuple[str, str]]
    """Folders that PYTHONPATH must name, from the DVC root, each with a file and the module that it imports."""
    gpu: tuple[str, ...]
    variables: tuple[FoundVariable, ...]
    undeclared: tuple[Undeclared, ...]
    has_dotenv: bool
    """Whether a `.env` is read that lies here and does not travel."""
    unreadable: tuple[str, ...]
    """Python files that are no Python 3."""


def survey_project(root: Path, files: Collection[str], pipeline: Pipeline | None) -> Survey:
    """Look at a project; `files` are its own, as they would be submitted, `pipeline` None when it is not known."""
    known = frozenset(files)
    sources, unreadable = _read_sources(root, known)
    stages = [stage for stage in pipeline.stages if not stage.is_source] if pipeline is not None else []
    programs = _programs(stages, sources, known)
    closures = {
        (program, wdir, by_module): find_closure(program, sources, known, wdir=wdir, as_module=by_module)
        for _, program, wdir, by_module in programs
    }
    places: dict[str, tuple[str, str]] = {}
    for stage, program, wdir, by_module in programs:
        if stage is None or not sets_variable(stage.cmd, "PYTHONPATH"):
            for place, why in closures[program, wdir, by_module].needed_places.items():
                places.setdefault(place, why)
    used = {path for closure in closures.values() for path in closure.files} | {
        program for _, program, _, _ in programs
    }
    imports = [one for path in sorted(used) if path in sources for one in sources[path].imports]
    modules = [one.module for one in imports]
    requirements = find_requirements(known, lambda name: _text(root / name))
    is_said = requirements is not None or any(_SAYS_WHAT_TO_INSTALL.search(path) for path in known)
    return Survey(
        python=find_python(known, lambda name: _text(root / name)),
        requirements=requirements,
        packages=() if is_said else tuple(foreign_packages(imports, known)),
        places=places,
        gpu=tuple(gpu_libraries(modules)),
        variables=tuple(_variables(stages, sources, used, modules)),
        undeclared=tuple(_undeclared(stages, programs, closures, sources=sources, files=known)),
        has_dotenv=any(module.partition(".")[0] == "dotenv" for module in modules)
        and ".env" not in known
        and (root / ".env").exists(),
        unreadable=tuple(sorted(unreadable)),
    )


_Program = tuple[PipelineStage | None, str, str, bool]
"""The stage, the file that it starts, its working folder, and whether by `python -m`."""


def _programs(
    stages: Sequence[PipelineStage], sources: Mapping[str, PythonSource], files: Collection[str]
) -> list[_Program]:
    if not stages:  # nothing says what is started: what asks whether it is
        return [(None, path, ".", False) for path, source in sources.items() if source.is_program]
    return [
        (stage, program, stage.wdir or ".", any(" -m " in text for text in stage.cmd))
        for stage in stages
        for program in started_files(stage.cmd, stage.wdir or ".", files)
    ]


def _read_sources(root: Path, files: Iterable[str]) -> tuple[dict[str, PythonSource], list[str]]:
    sources: dict[str, PythonSource] = {}
    unreadable: list[str] = []
    for path in sorted(path for path in files if path.endswith(".py"))[:_SOURCES_MAX]:
        try:
            with (root / path).open("rb") as stream:
                content = stream.read(_SOURCE_BYTES_MAX + 1)
        except OSError:  # listed by git, and gone
            continue
        source = read_source(path, content) if len(content) <= _SOURCE_BYTES_MAX else None
        if source is None:
            unreadable.append(path)
        else:
            sources[path] = source
    return sources, unreadable


def _variables(
    stages: Sequence[PipelineStage],
    sources: Mapping[str, PythonSource],
    used: Collection[str],
    modules: Iterable[str],
) -> Iterator[FoundVariable]:
    found: dict[str, tuple[str, str | None]] = {}
    for path in sorted(used):
        for use in sources[path].variables if path in sources else ():
            found.setdefault(use.name, (f"{path}:{use.line}", use.default))
    for stage in stages:
        for name in variables_read(stage.cmd):
            found.setdefault(name, (f"the command of stage {stage.name}", None))
    tops = {module.partition(".")[0] for module in modules}
    for library, names in LIBRARY_VARIABLES.items():
        for name in names if library in tops else ():
            found.setdefault(name, (f"the library {library}", None))
    for name, (where, default) in sorted(found.items()):
        if not _ORDINARY.fullmatch(name):
            yield FoundVariable(name=name, where=where, default=default, secret=bool(_SECRET.search(name)))


def _undeclared(
    stages: Sequence[PipelineStage],
    programs: Sequence[_Program],
    closures: Mapping[tuple[str, str, bool], Closure],
    *,
    sources: Mapping[str, PythonSource],
    files: Collection[str],
) -> Iterator[Undeclared]:
    outputs = {out.path: stage.name for stage in stages for out in stage.outs}
    for stage in stages:
        declared = {*stage.deps, *(params.file for params in stage.params), *(out.path for out in stage.outs)}
        read: dict[str, None] = {}
        for _, program, wdir, by_module in (one for one in programs if one[0] is stage):
            code = (program, *closures[program, wdir, by_module].files)
            named = [
                posixpath.normpath(posixpath.join(wdir, text))
                for path in code
                if path in sources
                for text, _ in sources[path].named
            ]
            read |= dict.fromkeys([*code, *(path for path in named if path in files or path in outputs)])
        missing = [path for path in read if not any(_covers(one, path) for one in declared)]
        if missing:
            yield Undeclared(
                stage=stage.name,
                paths=tuple(path for path in missing if path not in outputs),
                outputs=tuple(path for path in missing if path in outputs),
            )


def _covers(declared: str, path: str) -> bool:
    return path == declared or path.startswith(declared.rstrip("/") + "/")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
