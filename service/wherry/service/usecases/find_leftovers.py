"""Find and remove what was left on the machine by services that are no longer at work, and by this one's ended stages."""

from collections.abc import Callable, Collection, Sequence

from wherry.service.domain.task import AttemptId
from wherry.service.ports.traces import EngineTraces, Trace, TraceKind


class FindLeftovers:
    """Looks at one engine. What belongs to a service at work elsewhere is never touched."""

    def __init__(
        self,
        *,
        traces: EngineTraces,
        service: str,
        at_work: Callable[[str], bool],
        going: Callable[[], Collection[AttemptId]],
    ) -> None:
        """`service` is this one, `at_work` says whether one is in a folder, `going` which attempts are under way here."""
        self._traces = traces
        self._service = service
        self._at_work = at_work
        self._going = going

    async def __call__(self) -> Sequence[Trace]:
        """What is left over, containers first: a network in use cannot be removed."""
        # The list first: an attempt that begins after it is in neither, one that ended meanwhile is gone when removed.
        found = await self._traces.list_traces()
        going = self._going()
        left = [trace for trace in found if self._is_left(trace, going)]
        return sorted(left, key=lambda trace: (trace.kind is TraceKind.NETWORK, trace.name))

    async def remove(self) -> Sequence[Trace]:
        """Remove all of it; returns what that was."""
        left = await self()
        for trace in left:
            await self._traces.remove_trace(trace)
        return left

    def _is_left(self, trace: Trace, going: Collection[AttemptId]) -> bool:
        if trace.service != self._service:
            return not self._at_work(trace.home)
        return bool(trace.attempt) and AttemptId(trace.attempt) not in going
