"""How long the work is that still waits on each stage of a run: who goes first when not all can."""

from collections.abc import Mapping, Sequence

from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.stage import Pipeline, StageName

# Where nothing is known all stages count the same.
_UNKNOWN_S = 1.0


def path_seconds(
    pipeline: Pipeline, selected: Sequence[StageName], known_s: Mapping[StageName, float]
) -> dict[StageName, float]:
    """For each stage the seconds of the longest way from its start to an end of the run.

    `selected` is in topological order, `known_s` has durations of earlier times. A stage that never ran counts as the
    mean of those that did.
    """
    usual_s = sum(known_s.values()) / len(known_s) if known_s else _UNKNOWN_S
    paths: dict[StageName, float] = dict.fromkeys(selected, 0.0)
    for name in reversed(selected):
        paths[name] += known_s.get(name, usual_s)
        for before in active_upstream(pipeline, name):
            if before in paths:
                paths[before] = max(paths[before], paths[name])
    return paths
