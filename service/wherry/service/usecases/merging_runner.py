"""A StageRunner that executes identical stages once, whoever submits them, however often, at the same time."""

from dataclasses import replace

from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import AttemptId, Failed, Outcome, StageTask, StrictKey, Succeeded
from wherry.service.ports.clock import Clock
from wherry.service.ports.logs import LogStore
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.flight import Flight
from wherry.service.usecases.hold_lease import HoldLease
from wherry.service.usecases.known_runner import as_known
from wherry.service.usecases.patience import patiently
from wherry.service.usecases.shared_output import SharedOutput


class Flights:
    """What is being executed for runs of this service, by strict key."""

    def __init__(self) -> None:
        self._by_key: dict[StrictKey, Flight] = {}

    def open_for(self, key: StrictKey) -> Flight | None:
        """The flight that may be joined."""
        flight = self._by_key.get(key)
        return flight if flight is not None and flight.is_open else None

    def add(self, flight: Flight) -> None:
        """Let others join it until it ends."""
        self._by_key[flight.task.key] = flight
        flight.when_done(lambda: self._forget(flight))

    def _forget(self, flight: Flight) -> None:
        if self._by_key.get(flight.task.key) is flight:
            del self._by_key[flight.task.key]


class MergingStageRunner(StageRunner):
    """Lets the second who submits a stage wait for the execution of the first.

    Known results are looked up outside, before anybody waits, and inside, by whoever has the lease: what was being
    computed when it was looked up first may be known by then.
    """

    def __init__(
        self,
        inner: StageRunner,
        *,
        flights: Flights,
        lease: HoldLease,
        find: FindResult,
        logs: LogStore,
        clock: Clock,
    ) -> None:
        """Wrap `inner`. All runs of the service share `flights`; what others execute, `lease` knows."""
        self._inner = inner
        self._flights = flights
        self._lease = lease
        self._find = find
        self._logs = logs
        self._clock = clock

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Execute the stage, or wait for whoever does."""
        while True:
            flight = self._flights.open_for(task.key) if task.may_share else None
            if flight is None:
                return await self._begin(task, attempt, observer)
            origin = flight.task
            outcome = await flight.take_part(observer)
            merged = await self._as_merged(task, origin, outcome)
            if merged is not None:
                return merged

    async def _begin(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        output = SharedOutput(self._logs)
        # What has been begun here holds the lease for this service: a new execution beside it must not take it away.
        is_shared = task.cacheable and self._flights.open_for(task.key) is None
        flight = Flight(task, output, self._execute(task, attempt, output, is_shared=is_shared))
        if is_shared:
            self._flights.add(flight)
        return await flight.take_part(observer)

    async def _execute(
        self, task: StageTask, attempt: AttemptId, output: SharedOutput, *, is_shared: bool
    ) -> Outcome:
        if not is_shared:
            return await self._inner.run(task, attempt, output)
        return await self._lease(task, output, lambda fenced: self._inner.run(fenced, attempt, output))

    async def _as_merged(self, task: StageTask, origin: StageTask, outcome: Outcome) -> Outcome | None:
        """What somebody else's outcome means for a task; None: nothing, it has to be executed."""
        if isinstance(outcome, Succeeded):
            # Looked up as any result is: it may not be one for what this project has.
            known = await patiently(lambda: self._find(task), self._clock)
            if known is None:
                return None
            if outcome.cache is CacheUse.HIT:
                # Nothing was executed that could have been seen: the output is had from where the other's is.
                return as_known(known, task)
            return replace(
                outcome,
                entry=known.entry,
                undeclared=known.result.undeclared if known.result else outcome.undeclared,
                cache=CacheUse.MERGED,
                from_run=origin.run_id,
                from_user=origin.user,
            )
        if isinstance(outcome, Failed) and task.files != origin.files:
            # The failure may come from a file that is not declared, and is another here.
            return None
        return outcome
