"""Files that stages read without declaring them: what to tell, and what to write into dvc.yaml."""

import json
import re
from collections.abc import Iterable, Iterator

from wherry.client.cli.terminal import Terminal, plain
from wherry.client.stage_names import StageNames
from wherry.v1.runs_pb2 import CACHE_USE_HIT, Run, StageRecord

# A stage for each of a hundred values reads the same files each time.
_STAGES_MAX = 3
_LINES_MAX = 10

_BARE = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")


def undeclared_in(run: Run, *, hits: bool) -> list[StageRecord]:
    """List the stages that read such files; with `hits` also those whose result was known, and may have been told of."""
    return [stage for stage in run.stages if stage.undeclared and (hits or stage.cache != CACHE_USE_HIT)]


def tell_undeclared(terminal: Terminal, run: Run, names: StageNames) -> None:
    """Warn of what the stages that ran have read."""
    stages = undeclared_in(run, hits=False)
    for stage in stages[:_STAGES_MAX]:
        count = len(stage.undeclared)
        files = "a file" if count == 1 else f"{count} files"
        terminal.warn(
            f"{names.seen(stage.name)} read {files} of the project without declaring "
            f"{'it' if count == 1 else 'them'}. Wherry runs it again when {'it changes' if count == 1 else 'one changes'}, "
            "`dvc repro` does not. To declare, add to the stage in dvc.yaml:"
        )
        for line in deps_lines(stage):
            terminal.tell(line)
    if len(stages) > _STAGES_MAX:
        terminal.warn(
            f"so did {len(stages) - _STAGES_MAX} more stages: `wherry show {run.id}` names the files"
        )


def undeclared_lines(stages: Iterable[StageRecord], names: StageNames) -> Iterator[str]:
    """Name each stage with what to add to it."""
    for stage in stages:
        yield f"{plain(names.seen(stage.name))} reads without declaring:"
        yield from deps_lines(stage)


def deps_lines(stage: StageRecord) -> Iterator[str]:
    """Write the YAML to add to a stage; of very much the beginning."""
    deps = list(stage.undeclared_deps) or [file.path for file in stage.undeclared]
    yield "    deps:"
    for path in deps[:_LINES_MAX]:
        yield f"    - {_scalar(path)}"
    if len(deps) > _LINES_MAX:
        yield f"    # … and {len(deps) - _LINES_MAX} more"


def _scalar(path: str) -> str:
    """Write a path as YAML: bare where that is safe, else in double quotes, whose escapes are those of JSON."""
    return path if _BARE.fullmatch(path) else json.dumps(path)
