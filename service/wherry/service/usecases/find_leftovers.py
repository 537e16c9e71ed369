"""Find and remove what was left on the machine by services that are no longer at work, and by this one's ended stages."""

from collections.abc import Callable, Collection, Sequence

from wherry.service.domain.task import AttemptId
from wherry.service.ports.traces import EngineTraces, MachineTraces, Trace, TraceKind

_ON_ENGINE = frozenset({TraceKind.CONTAINER, TraceKind.NETWORK})


class FindLeftovers:
    """Looks at one engine and at this machine. What belongs to a service at work elsewhere is never touched."""

    def __init__(
        self,
        *,
        traces: EngineTraces,
        machine: MachineTraces,
        service: str,
        at_work: Callable[[str], bool],
        going: Callable[[], Collection[AttemptId]],
    ) -> None:
        """`service` is this one, `at_work` says whether one is in a folder, `going` which attempts are under way here."""
        self._traces = traces
        self._machine = machine
        self._service = service
        self._at_work = at_work
        self._going = going

    async def __call__(self) -> Sequence[Trace]:
        """What is left over, in the order in which it can be removed.

        Containers first: a network in use cannot be removed, nor files that are being written to. This service's own
        files are no leftovers: it clears them when it starts.
        """
        # The list first: an attempt that begins after it is in neither, one that ended meanwhile is gone when removed.
        found = await self._traces.list_traces()
        going = self._going()
        left = [trace for trace in found if self._is_left(trace, going)]
        # Images can carry any label, and give it to what runs on them. Networks have theirs from a service alone.
        gone = {
            trace.home for trace in left if trace.kind is TraceKind.NETWORK and trace.service != self._service
        }
        beside = await self._machine.list_traces(gone)
        return [
            *sorted(left, key=lambda trace: (trace.kind is TraceKind.NETWORK, trace.name)),
            *sorted(beside, key=lambda trace: (trace.kind, trace.name)),
        ]

    async def remove(self) -> Sequence[Trace]:
        """Remove all of it; returns what that was."""
        left = await self()
        for trace in left:
            if trace.kind in _ON_ENGINE:
                await self._traces.remove_trace(trace)
            # Somebody may have begun to work there meanwhile.
            elif not (trace.home and self._at_work(trace.home)):
                await self._machine.remove_trace(trace)
        return left

    def _is_left(self, trace: Trace, going: Collection[AttemptId]) -> bool:
        if trace.service != self._service:
            return not self._at_work(trace.home)
        return bool(trace.attempt) and AttemptId(trace.attempt) not in going
