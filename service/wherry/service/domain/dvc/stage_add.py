"""`stage add`: a stage put into a dvc.yaml, to the byte as DVC 3.67 does it, and refused where DVC refuses it.

Paths outside the project are refused too, because a run would refuse them. So is a change that would reach
other stages through an anchor. What needs the folder itself is the client's: whether wdir is there, .dvcignore, git.
"""

import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wherry.service.domain.dvc.emit import dump_yaml, load_for_edit
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.params_section import DEFAULT_PARAMS_FILE
from wherry.service.domain.dvc.pipeline_file import is_dvc_file, stage_name
from wherry.service.domain.dvc.stage import DataSource, Dependency, Output, ParamsDependency, Stage
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import InvalidInput, Place
from wherry.service.domain.paths import NOWHERE, ROOT, ProjectPath, Surroundings, is_inside_root, relative_to
from wherry.service.domain.records import OutputKind

_NAME_REFUSED = frozenset(string.punctuation) - {"-", "_"}
_SECTIONS = {OutputKind.OUT: "outs", OutputKind.METRIC: "metrics", OutputKind.PLOT: "plots"}
_ANNOTATIONS = ("desc", "type", "labels", "meta")

# DVC goes through the kinds in this order: (kind, persist, cache).
_ORDER = (
    (OutputKind.OUT, True, True),
    (OutputKind.OUT, True, False),
    (OutputKind.METRIC, False, True),
    (OutputKind.METRIC, False, False),
    (OutputKind.PLOT, False, True),
    (OutputKind.PLOT, False, False),
    (OutputKind.OUT, False, False),
    (OutputKind.OUT, False, True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOutput:
    """An output of a stage to be added."""

    path: str
    """As given, relative to wdir."""
    kind: OutputKind = OutputKind.OUT
    cache: bool = True
    persist: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStage:
    """A stage as the command line gives it."""

    name: str
    command: tuple[str, ...]
    """Words as the shell gave them; a single one may be a whole command."""
    wdir: str = ""
    """As given, relative to the folder of dvc.yaml; empty: that folder."""
    deps: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    """Each "[FILE:]KEY,KEY"; "FILE:" is the whole file."""
    outs: tuple[NewOutput, ...] = ()
    always_changed: bool = False
    desc: str = ""


def resolve_new_stage(new: NewStage, file: ProjectPath, around: Surroundings = NOWHERE) -> Stage:
    """Make the stage that the arguments mean, in the dvc.yaml `file`, checked by itself.

    Outputs are in the order in which DVC adds them to .gitignore. `around` says where the project lies.

    Raises:
        InvalidInput: if DVC would refuse it.
    """
    folder = _folder_of(file)
    _check_name(new.name)
    cmd = join_command(new.command)
    if not cmd:
        raise InvalidInput(
            "the stage needs a command", hint="It stands at the end: stage add -n NAME … COMMAND"
        )
    wdir = around.resolve(folder, new.wdir) if new.wdir else folder
    if not is_inside_root(wdir):
        raise InvalidInput(f"the working folder {new.wdir!r} lies outside the DVC root")
    place = _Folder(wdir, around)
    deps = [
        Dependency(path=place.recorded(path), project_path=place.resolve(path, "dependency"))
        for path in new.deps
    ]
    params = [
        ParamsDependency(
            path=path, project_path=place.resolve(path, "parameters file"), keys=tuple(keys) or None
        )
        for path, keys in parse_params_arguments(new.params).items()
    ]
    outs = [
        Output(
            path=place.recorded(out.path),
            project_path=place.resolve(out.path, "output"),
            kind=out.kind,
            cache=out.cache,
            persist=out.persist,
        )
        for out in sorted(new.outs, key=_rank)
    ]
    for out in outs:
        if out.cache and not is_inside_root(out.project_path):
            raise InvalidInput(
                f"the output {out.path!r} lies outside the DVC root, and DVC keeps nothing in its cache from there",
                hint="Write it below the DVC root, or declare it as not cached.",
            )
    _check_paths([*deps, *params], outs)
    return Stage(
        name=stage_name(file, new.name),
        file=file,
        key=new.name,
        place=Place(path=file),
        cmd=cmd,
        wdir=wdir,
        deps=tuple(deps),
        params=tuple(params),
        outs=tuple(outs),
        always_changed=new.always_changed,
    )


def check_in_graph(stage: Stage, others: Iterable[Stage], sources: Iterable[DataSource]) -> None:
    """See that the stage fits with the others; one of its own name is replaced.

    Raises:
        PipelineInvalid: if the graph would not hold.
    """
    build_pipeline([*(other for other in others if other.name != stage.name), stage], sources)


def write_stage(data: bytes | None, stage: Stage, *, desc: str, force: bool) -> bytes:
    """Put a stage into the content of its dvc.yaml; None: there is no such file yet.

    With `force` a stage of its name is replaced: its desc, meta and what its outputs are annotated with stay.

    Raises:
        InvalidInput: if there is such a stage and `force` is not given, or it cannot be replaced alone.
        PipelineInvalid: if the content is not YAML.
    """
    # DVC opens the file as text: on Linux it comes back with line feeds alone.
    text = (data or b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    before = parse_yaml(text, stage.file)
    values = before.value or {}
    known = values.get("stages", {})
    if stage.key in known and not force:
        raise InvalidInput(
            f"the stage {stage.key!r} exists already",
            hint="--force replaces it.",
            place=before.place("stages", stage.key),
        )
    entry = _entry_of(stage, desc, _replaced(known.get(stage.key), stage))
    document = (load_for_edit(text, stage.file) if data is not None else None) or {}
    document["stages"] = document.get("stages", {})
    if stage.key in known:
        _carry_over(entry, document["stages"][stage.key])
    else:
        document["stages"][stage.key] = entry
    written = dump_yaml(document)
    wanted = {**values, "stages": {**known, stage.key: entry}}
    if parse_yaml(written, stage.file).value != wanted:
        raise InvalidInput(
            f"the stage {stage.key!r} shares parts with others through an anchor, so it cannot be replaced alone",
            hint=f"Edit {stage.file} by hand.",
            place=before.place("stages", stage.key),
        )
    return written


def join_command(words: tuple[str, ...]) -> str:
    """Join words as DVC does: blanks are protected by double quotes, where there are none in the word."""
    if len(words) == 1:
        return words[0]
    return " ".join(f'"{word}"' if not word or (" " in word and '"' not in word) else word for word in words)


def parse_params_arguments(arguments: Iterable[str]) -> dict[str, list[str]]:
    """Read "[FILE:]KEY,KEY" arguments: keys by file. A file without keys is tracked whole."""
    keys: dict[str, list[str]] = {}
    for argument in arguments:
        file, _, names = argument.rpartition(":")
        keys.setdefault(file or DEFAULT_PARAMS_FILE, []).extend(name for name in names.split(",") if name)
    return keys


def _folder_of(file: ProjectPath) -> ProjectPath:
    return ProjectPath(file.rpartition("/")[0] or ROOT)


def _rank(out: NewOutput) -> int:
    kind = (out.kind, out.persist, out.cache)
    if kind not in _ORDER:
        raise InvalidInput(f"{out.path!r}: only plain outputs can be persistent")
    return _ORDER.index(kind)


def _check_name(name: str) -> None:
    if not name:
        raise InvalidInput("the stage needs a name", hint="-n NAME")
    refused = sorted(_NAME_REFUSED & set(name))
    if refused:
        raise InvalidInput(
            f"{name!r} is not a name for a stage: it has {' '.join(refused)}",
            hint="Of ASCII punctuation only '-' and '_' can be used.",
        )


@dataclass(frozen=True, slots=True)
class _Folder:
    """The folder that the arguments are relative to."""

    wdir: ProjectPath
    around: Surroundings

    def resolve(self, written: str, role: str) -> ProjectPath:
        path = self.around.resolve(self.wdir, written)
        if is_dvc_file(path):
            raise InvalidInput(f"{written!r} is a DVC file; it cannot be a {role}")
        return path

    def recorded(self, written: str) -> str:
        path = self.around.resolve(self.wdir, written)
        return self.around.recorded(written, path, self.wdir)


def _check_paths(inputs: list[Dependency | ParamsDependency], outs: list[Output]) -> None:
    written = {out.project_path for out in outs}
    for item in inputs:
        if item.project_path in written:
            raise InvalidInput(f"{item.path!r} is an input and an output of the stage")
    for path, times in Counter(item.project_path for item in [*inputs, *outs]).items():
        if times > 1:
            raise InvalidInput(f"{path!r} is given {times} times", hint="Give each path once.")


def _replaced(old: Any, stage: Stage) -> Mapping[str, Any] | None:
    """The stage that is replaced, if DVC keeps anything of it: not of a foreach or a matrix."""
    if not isinstance(old, dict) or {"foreach", "do", "matrix"} & old.keys():
        return None
    kept = [old.get("desc"), old.get("meta"), list(_old_flags(old).values())]
    if _is_templated(kept):
        raise InvalidInput(
            f"the stage {stage.key!r} has templates (`${{…}}`) in what would be kept of it",
            hint=f"Edit {stage.file} by hand.",
            place=Place(path=stage.file),
        )
    return old


def _is_templated(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_templated(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(_is_templated(item) for item in value)
    return isinstance(value, str) and "${" in value


def _old_flags(old: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each output has beyond the flags that the command line can set."""
    merged: dict[str, dict[str, Any]] = {}
    for section in _SECTIONS.values():
        flags: dict[str, dict[str, Any]] = {}
        for item in old.get(section, ()):
            for path, more in [(item, {})] if isinstance(item, str) else item.items():
                flags.setdefault(path, {}).update(more)
        merged |= flags
    return merged


def _entry_of(stage: Stage, desc: str, old: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entry in DVC's order; what says nothing is left out."""
    folder = _folder_of(stage.file)
    entry = {
        "desc": old.get("desc") if old is not None else desc,
        "cmd": stage.cmd,
        "wdir": relative_to(stage.wdir, folder) if stage.wdir != folder else None,
        "deps": sorted(dep.path for dep in stage.deps),
        "params": _params_of(stage),
        **_outs_of(stage, _old_flags(old or {})),
        "always_changed": stage.always_changed,
        "meta": (old or {}).get("meta"),
    }
    return {key: value for key, value in entry.items() if value}


def _params_of(stage: Stage) -> list[Any]:
    plain: list[Any] = []
    files: list[Any] = []
    for params in sorted(stage.params, key=lambda params: params.path):
        keys = sorted(params.keys or ())
        if keys and params.path == DEFAULT_PARAMS_FILE:
            plain = list(keys)
        else:
            files.append({params.path: keys or None})
    return plain + files


def _outs_of(stage: Stage, kept: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Any]]:
    sections: dict[str, list[Any]] = {name: [] for name in _SECTIONS.values()}
    for out in sorted(stage.outs, key=lambda out: out.path):
        flags = dict(_flags_of(out, kept.get(out.path, {})))
        sections[_SECTIONS[out.kind]].append({out.path: flags} if flags else out.path)
    return sections


def _flags_of(out: Output, kept: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, kept[name]) for name in _ANNOTATIONS if kept.get(name))
    if not out.cache:
        yield "cache", False
    if out.persist:
        yield "persist", True
    if kept.get("remote"):
        yield "remote", kept["remote"]
    if not kept.get("push", True):
        yield "push", False


def _carry_over(new: Any, old: Any) -> None:
    """Change what was loaded for editing into `new`, in place where the kinds agree: comments stay there.

    Which parts are replaced whole is DVC's choice: a list whose length changes, and any value of another kind.
    """
    if isinstance(new, Mapping):
        for key, value in new.items():
            if _alike(value, old.get(key)):
                _carry_over(value, old[key])
            elif key not in old or value != old[key]:
                old[key] = value
        for key in [key for key in old if key not in new]:
            del old[key]
    elif len(new) != len(old):
        old[:] = new
    else:
        for index, value in enumerate(new):
            if _alike(value, old[index]):
                _carry_over(value, old[index])
            elif value != old[index]:
                old[index] = value


def _alike(new: Any, old: Any) -> bool:
    return any(isinstance(new, kind) and isinstance(old, kind) for kind in (Mapping, list))
