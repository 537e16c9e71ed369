"""A StageRunner that uses known results, and keeps new ones."""

from dataclasses import replace

from wherry.service.domain.dvc.run_cache import cache_key, cache_value, entry_bytes, entry_path
from wherry.service.domain.explanation import circumstances_of, family_of
from wherry.service.domain.records import StageEntry
from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import AttemptId, Outcome, StageTask, Succeeded
from wherry.service.ports.clock import Clock
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.run_cache import Result, RunCache
from wherry.service.ports.stages import OutputPlace, StageObserver, StageRunner
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.known_runner import as_known
from wherry.service.usecases.patience import patiently


class CachingStageRunner(StageRunner):
    """Answers from the run cache what it can; lets the inner runner do the rest, and keeps successes."""

    def __init__(
        self, inner: StageRunner, *, find: FindResult, cache: RunCache, objects: ObjectStore, clock: Clock
    ) -> None:
        """Wrap `inner`. Results go to `cache`, and for stock DVC to `objects`."""
        self._inner = inner
        self._find = find
        self._cache = cache
        self._objects = objects
        self._clock = clock

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return the known outcome, or a new one that is known from now on."""
        known = await patiently(lambda: self._find(task), self._clock)
        if known is not None:
            return as_known(known, task)
        outcome = await self._inner.run(task, attempt, observer)
        if not isinstance(outcome, Succeeded):
            return outcome
        if not task.cacheable:
            return replace(outcome, cache=CacheUse.NOT_CACHEABLE)
        # The work is done: it is not thrown away because a part is away for a while.
        await patiently(lambda: self._keep(task, outcome, observer.place()), self._clock)
        return replace(outcome, cache=CacheUse.MISS if task.use_cache else CacheUse.BYPASS)

    async def _keep(self, task: StageTask, outcome: Succeeded, output: OutputPlace) -> None:
        """Blobs are held by now; the record comes before DVC's entry, the announcement after both.

        The result is that of the run whose log has all of the output: the one that submitted the stage may have left.
        """
        await self._cache.publish(
            Result(
                key=task.key,
                entry=outcome.entry,
                run_id=output.run_id,
                user=output.user,
                image=task.image.digest,
                wall_s=outcome.wall_s,
                created_at=self._clock.now(),
                family=family_of(task.stage, task.root_at),
                circumstances=circumstances_of(task),
                log=outcome.log,
                usage=outcome.usage,
                undeclared=outcome.undeclared,
            ),
            fence=task.fence,
        )
        if task.dvc_key is not None:
            await self._keep_for_dvc(task.dvc_key, outcome.entry)
            if task.legacy_deps is not None:
                # DVC looks under another key where dvc.lock has hashes of DVC 2. The outputs are where DVC 3 has them.
                entry = replace(outcome.entry, deps=task.legacy_deps)
                await self._keep_for_dvc(cache_key(entry), entry)

    async def _keep_for_dvc(self, key: str, entry: StageEntry) -> None:
        await self._objects.put(entry_path(key, cache_value(entry)), entry_bytes(entry))
