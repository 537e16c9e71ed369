"""Why a result is not the one that is wanted: the parts of two strict keys, compared.

Here are the values and the comparison; which results are known, others look up. Values of environment variables
are never kept or told, only a hash of each.
"""

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, TypeVar

from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.reads import ReadFile, Reads
from wherry.service.domain.records import FileEntry, OutputKind, Params
from wherry.service.domain.run import FileRecord
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import StageTask

Family = NewType("Family", str)
"""SHA-256 over a stage's wdir and the paths of its outputs: results of "the same stage" share it."""

_EXECUTABLE = " +x"
_SHOWN_CHARACTERS_MAX = 60
_SHOWN_HASH_CHARACTERS = 12

CandidateT = TypeVar("CandidateT")


class Part(StrEnum):
    """What a strict key is made of."""

    COMMAND = "command"
    DEPENDENCY = "dependency"
    PARAMETER = "parameter"
    OUTPUT = "output"
    IMAGE = "image"
    PLATFORM = "platform"
    ENVIRONMENT = "environment"
    NETWORK = "network"
    IGNORED = ".dvcignore"
    PREVIOUS = "previous"
    UNDECLARED = "undeclared"
    """No part of the key: a file that was read without being declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One part that is not the same. None: it is not there on that side."""

    part: Part
    name: str = ""
    """Path of a dependency or output, "FILE:KEY" of a parameter, name of a variable or an image; else empty."""
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredOutput:
    """An output as it counts in a strict key."""

    path: str
    """As written, relative to wdir."""
    kind: OutputKind
    cache: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a strict key counts beside command, dependencies and parameters."""

    wdir: ProjectPath
    outs: tuple[DeclaredOutput, ...]
    """Sorted by path."""
    environment: Mapping[str, str]
    """Names with a hash of each value."""
    image: Image
    network: bool
    ignored: str = ""
    """Fingerprint of the .dvcignore patterns."""
    previous: Mapping[str, str] = field(default_factory=dict)
    """What persistent outputs were before, by path as written, each as `dependency_text` writes it; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyParts:
    """All that a strict key counts. Parts that are not known any more are None and not compared."""

    deps: Mapping[str, str]
    """By path as written, each as `dependency_text` writes it."""
    params: Params
    image: str
    """The digest."""
    cmd: str | tuple[str, ...] | None = None
    circumstances: Circumstances | None = None
    undeclared: Reads | None = None
    """What was read beside all that counts in the key."""
    contents: Mapping[ProjectPath, str | None] = field(default_factory=dict)
    """What stands in undeclared files, as `content_text` writes it; None: there is none. As far as it is known."""
    all_files: str = ""
    """As in `Reads`; empty: not known."""


def circumstances_of(task: StageTask) -> Circumstances:
    """Say what a task's key counts beside its command and inputs."""
    outs = sorted(task.stage.outs, key=lambda out: out.path)
    return Circumstances(
        wdir=task.stage.wdir,
        outs=tuple(DeclaredOutput(path=out.path, kind=out.kind, cache=out.cache) for out in outs),
        environment={name: _hash(value) for name, value in sorted(task.environment.items())},
        image=task.image,
        network=task.network,
        ignored=task.ignore.fingerprint,
        previous={
            path: "" if before is None else dependency_text(before) for path, before in task.previous.items()
        },
    )


def parts_of(task: StageTask) -> KeyParts:
    """Take a task's key apart."""
    return KeyParts(
        deps={dep.path: dependency_text(dep) for dep in task.deps},
        params=task.params,
        image=task.image.digest,
        cmd=task.stage.cmd,
        circumstances=circumstances_of(task),
    )


def content_text(file: ReadFile | SnapshotFile | None) -> str | None:
    """Write what counts of a file that is read without being declared; None: there is no file."""
    return None if file is None else f"{file.hash}{_EXECUTABLE}" if file.executable else file.hash


def dependency_text(dep: FileEntry | FileRecord) -> str:
    """Write what counts of a dependency: its hash, and whether it may be executed."""
    return f"{dep.hash}{_EXECUTABLE}" if dep.executable else dep.hash


def family_of(stage: Stage, root_at: ProjectPath = ROOT) -> Family:
    """Name the family of a stage's results; `root_at` is where in its repository the project lies."""
    wdir = posixpath.normpath(posixpath.join(root_at, stage.wdir))
    return Family(_hash(json.dumps([wdir, sorted(out.path for out in stage.outs)])))


def find_nearest(
    wanted: KeyParts, candidates: Sequence[CandidateT], parts: Callable[[CandidateT], KeyParts]
) -> tuple[CandidateT, tuple[Difference, ...]] | None:
    """Choose the candidate with the fewest differences, the first of several, and say what differs."""
    compared = [(candidate, tuple(compare(parts(candidate), wanted))) for candidate in candidates]
    return min(compared, key=lambda pair: len(pair[1]), default=None)


def compare(before: KeyParts, after: KeyParts) -> Iterator[Difference]:
    """Yield what differs: command, dependencies, parameters, outputs, then what the container gets."""
    if before.cmd is not None and after.cmd is not None and before.cmd != after.cmd:
        yield Difference(part=Part.COMMAND, before=_command(before.cmd), after=_command(after.cmd))
    yield from _compare_texts(Part.DEPENDENCY, before.deps, after.deps)
    yield from _compare_texts(Part.PARAMETER, _flat_params(before.params), _flat_params(after.params))
    if before.circumstances is not None and after.circumstances is not None:
        yield from _compare_circumstances(before.circumstances, after.circumstances)
    elif before.image != after.image:
        yield Difference(part=Part.IMAGE, before=before.image, after=after.image)
    yield from _compare_undeclared(before, after)


def describe(difference: Difference) -> str:
    """Say a difference in a few words, long values cut: "params.yaml: train.lr 0.1 -> 0.05"."""
    before, after = difference.before, difference.after
    if difference.part is Part.UNDECLARED:
        return _describe_undeclared(difference)
    if difference.part in {Part.DEPENDENCY, Part.IMAGE, Part.PREVIOUS}:
        before, after = _short_hash(before), _short_hash(after)
    change = _change_words(before, after)
    match difference.part:
        case Part.PARAMETER:
            file, _, key = difference.name.partition(":")
            return f"{file}: {key} {change}"
        case Part.DEPENDENCY:
            return f"{difference.name} {change}"
        case Part.ENVIRONMENT:
            return f"environment: {difference.name} {change}"
        case Part.IMAGE if difference.name:
            return f"image {difference.name}: {change}"
        case Part.OUTPUT:
            return f"output {difference.name} {change}"
        case Part.PREVIOUS:
            return f"{difference.name} before the stage {change}"
        case _:
            return f"{difference.part}: {change}"


def _describe_undeclared(difference: Difference) -> str:
    if not difference.name:
        return "a file of the project has changed; what stages read cannot be seen on this machine"
    change = "is gone" if difference.after is None else "has changed"
    return f"{difference.name}, which the stage read without declaring it, {change}"


def _change_words(before: str | None, after: str | None) -> str:
    if before is None:
        return f"added ({_shown(after)})" if after else "added"
    if after is None:
        return f"removed (was {_shown(before)})" if before else "removed"
    return f"{_shown(before)} -> {_shown(after)}" if before or after else "changed"


def _compare_undeclared(before: KeyParts, after: KeyParts) -> Iterator[Difference]:
    if before.undeclared is None:
        return
    for file in before.undeclared.files:
        was = content_text(file)
        if file.path in after.contents and (now := after.contents[file.path]) != was:
            yield Difference(part=Part.UNDECLARED, name=file.path, before=was, after=now)
    if after.all_files and before.undeclared.all_files and before.undeclared.all_files != after.all_files:
        # The fingerprints would tell nobody anything.
        yield Difference(part=Part.UNDECLARED, before="", after="")


def _compare_circumstances(before: Circumstances, after: Circumstances) -> Iterator[Difference]:
    yield from _compare_texts(Part.OUTPUT, _kinds(before), _kinds(after))
    if before.image.digest != after.image.digest:
        yield Difference(
            part=Part.IMAGE, name=after.image.name, before=before.image.digest, after=after.image.digest
        )
    if before.image.platform != after.image.platform:
        yield Difference(part=Part.PLATFORM, before=before.image.platform, after=after.image.platform)
    for changed in _compare_texts(Part.ENVIRONMENT, before.environment, after.environment):
        # Which variable, never what is in it.
        yield Difference(
            part=Part.ENVIRONMENT,
            name=changed.name,
            before=None if changed.before is None else "",
            after=None if changed.after is None else "",
        )
    if before.network != after.network:
        yield Difference(part=Part.NETWORK, before=_network(before), after=_network(after))
    if before.ignored != after.ignored:
        # The fingerprints would tell nobody anything.
        yield Difference(part=Part.IGNORED, before="", after="")
    yield from _compare_texts(Part.PREVIOUS, _contents(before), _contents(after))


def _compare_texts(part: Part, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Difference(part=part, name=name, before=before.get(name), after=after.get(name))


def _flat_params(params: Params) -> dict[str, str]:
    """JSON of each parameter by "FILE:KEY". Mappings are gone into, so that of a whole file one key is named."""
    return {
        f"{file}:{name}": text
        for file, values in params.items()
        for key, value in values.items()
        for name, text in _flat_value(str(key), value)
    }


def _flat_value(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat_value(f"{name}.{key}", inner)
    else:
        yield name, json.dumps(value, ensure_ascii=False, default=str)


def _kinds(circumstances: Circumstances) -> dict[str, str]:
    return {
        out.path: out.kind.value if out.cache else f"{out.kind.value} (not cached)"
        for out in circumstances.outs
    }


def _contents(circumstances: Circumstances) -> dict[str, str]:
    return {path: text for path, text in circumstances.previous.items() if text}


def _command(cmd: str | tuple[str, ...]) -> str:
    return cmd if isinstance(cmd, str) else json.dumps(list(cmd), ensure_ascii=False)


def _network(circumstances: Circumstances) -> str:
    return "allow" if circumstances.network else "deny"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _short_hash(digest: str | None) -> str | None:
    """Cut a hash to what people compare; "sha256:" and the name before it, and ".dir" behind it, are no part of that."""
    if digest is None:
        return None
    name, space, mark = digest.partition(" ")
    bare, dot, suffix = name.rpartition(":")[2].partition(".")
    return bare[:_SHOWN_HASH_CHARACTERS] + dot + suffix + space + mark


def _shown(text: str | None) -> str:
    text = " ".join((text or "").split())
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return text[: _SHOWN_CHARACTERS_MAX - 1] + "…"
