"""Files that stages read without declaring them: what to tell, and what to write into dvc.yaml."""

import json
import re
from collections.abc import Iterable, Iterator

from wherry.client.cli.terminal import Terminal, plain
from wherry.client.stage_names import StageNames
from wherry.v1.runs_pb2 import CACHE_USE_HIT, Run, StageRecord

_GROUPS_MAX = 3
_NAMES_MAX = 4
_LINES_MAX = 10

_BARE = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")


def undeclared_in(run: Run, *, hits: bool) -> list[StageRecord]:
    """List the stages that read such files; with `hits` also those whose result was known, and may have been told of."""
    return [stage for stage in run.stages if stage.undeclared and (hits or stage.cache != CACHE_USE_HIT)]


def tell_undeclared(terminal: Terminal, run: Run, names: StageNames) -> None:
    """Warn of what the stages that ran have read; those that read the same are named together."""
    groups = _alike(undeclared_in(run, hits=False))
    for group in groups[:_GROUPS_MAX]:
        count = len(group[0].undeclared)
        files = "a file" if count == 1 else f"{count} files"
        readers = _listed([names.seen(stage.name) for stage in group])
        again = "it" if len(group) == 1 else "them"
        terminal.warn(
            f"{readers} read {files} of the project without declaring {'it' if count == 1 else 'them'}. "
            f"Wherry runs {again} again when {'it changes' if count == 1 else 'one changes'}, `dvc repro` does not. "
            f"To declare, add to the stage{'' if len(group) == 1 else 's'} in dvc.yaml:"
        )
        for line in deps_lines(group[0]):
            terminal.tell(line)
    if len(groups) > _GROUPS_MAX:
        more = sum(len(group) for group in groups[_GROUPS_MAX:])
        terminal.warn(
            f"so did {more} more stage{'' if more == 1 else 's'}: `wherry show {run.id}` names the files"
        )


def _alike(stages: Iterable[StageRecord]) -> list[list[StageRecord]]:
    """Put those together that read the same."""
    alike: dict[tuple[str, ...], list[StageRecord]] = {}
    for stage in stages:
        alike.setdefault(tuple(_deps(stage)), []).append(stage)
    return list(alike.values())


def _listed(words: list[str]) -> str:
    """Name a few, and say how many more there are."""
    few = words[:_NAMES_MAX]
    if len(words) > _NAMES_MAX:
        return f"{', '.join(few)} and {len(words) - _NAMES_MAX} more"
    return few[0] if len(few) == 1 else f"{', '.join(few[:-1])} and {few[-1]}"


def undeclared_lines(stages: Iterable[StageRecord], names: StageNames) -> Iterator[str]:
    """Name stages with what to add to them; those that read the same once."""
    for group in _alike(stages):
        readers = _listed([plain(names.seen(stage.name)) for stage in group])
        yield f"{readers} {'reads' if len(group) == 1 else 'read'} without declaring:"
        yield from deps_lines(group[0])


def deps_lines(stage: StageRecord) -> Iterator[str]:
    """Write the YAML to add to a stage; of very much the beginning."""
    deps = _deps(stage)
    yield "    deps:"
    for path in deps[:_LINES_MAX]:
        yield f"    - {_scalar(path)}"
    if len(deps) > _LINES_MAX:
        yield f"    # … and {len(deps) - _LINES_MAX} more"


def _deps(stage: StageRecord) -> list[str]:
    return list(stage.undeclared_deps) or [file.path for file in stage.undeclared]


def _scalar(path: str) -> str:
    """Write a path as YAML: bare where that is safe, else in double quotes, whose escapes are those of JSON."""
    return path if _BARE.fullmatch(path) else json.dumps(path)
