"""Estimate, from what is known of earlier runs, how much work waits on each stage of a run."""

from collections.abc import Mapping

from wherry.service.domain.critical_path import path_seconds
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import Unavailable
from wherry.service.domain.explanation import family_of
from wherry.service.ports.run_cache import RunCache
from wherry.service.usecases.read_project import Project


class RankStages:
    """Asks the run cache how long stages took."""

    def __init__(self, cache: RunCache) -> None:
        """Look in `cache`."""
        self._cache = cache

    async def __call__(self, project: Project) -> Mapping[StageName, float]:
        """Seconds of the longest way from the start of each stage to the end of the run."""
        root_at = project.snapshot.around.prefix
        families = {stage.name: family_of(stage, root_at) for stage in project.stages}
        try:
            known_s = await self._cache.mean_durations(set(families.values()))
        except Unavailable:
            # What is not known delays nothing but the better order.
            known_s = {}
        return path_seconds(
            project.pipeline,
            [stage.name for stage in project.stages],
            {name: known_s[family] for name, family in families.items() if family in known_s},
        )
