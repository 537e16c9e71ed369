"""The run cache as a dictionary."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from tests.fakes.leases import FakeLeases
from wherry.service.domain.errors import LeaseLost
from wherry.service.domain.explanation import Family
from wherry.service.domain.task import LeaseToken, StrictKey
from wherry.service.ports.run_cache import RESULTS_PER_KEY_MAX, Result, RunCache


class FakeRunCache(RunCache):
    """`results` may be looked at and changed by tests."""

    def __init__(self, results: Iterable[Result] = (), *, leases: FakeLeases | None = None) -> None:
        self._leases = leases or FakeLeases()
        self.results: dict[tuple[StrictKey, str | None], Result] = {}
        for result in results:
            self._keep(result)

    async def find(self, key: StrictKey) -> Sequence[Result]:
        return _newest_first(result for result in self.results.values() if result.key == key)

    async def find_all(self, keys: Collection[StrictKey]) -> Mapping[StrictKey, Sequence[Result]]:
        return {key: found for key in keys if (found := await self.find(key))}

    async def publish(self, result: Result, *, fence: LeaseToken | None = None) -> None:
        if fence is not None and not self._leases.holds(result.key, fence):
            raise LeaseLost("another service has taken the stage over")
        self._keep(result)
        for old in (await self.find(result.key))[RESULTS_PER_KEY_MAX:]:
            self.results.pop(_place(old))

    async def mean_durations(self, families: Collection[Family]) -> Mapping[Family, float]:
        found: dict[Family, list[float]] = {}
        for result in self.results.values():
            if result.family is not None and result.family in families:
                found.setdefault(result.family, []).append(result.wall_s)
        return {family: sum(seconds) / len(seconds) for family, seconds in found.items()}

    async def list_family(self, family: Family, *, limit: int) -> Sequence[Result]:
        return _newest_first(result for result in self.results.values() if result.family == family)[:limit]

    def _keep(self, result: Result) -> None:
        self.results[_place(result)] = result


def _place(result: Result) -> tuple[StrictKey, str | None]:
    return result.key, None if result.undeclared is None else result.undeclared.fingerprint


def _newest_first(results: Iterable[Result]) -> list[Result]:
    return sorted(results, key=lambda result: result.created_at, reverse=True)
