"""Lines of output as messages, made once for all who are given the same lines."""

from collections import OrderedDict
from collections.abc import Sequence

from wherry.service.ports.logs import LogLine
from wherry.service.rpc.convert_runs import line_to
from wherry.service.usecases.follow_run import Page
from wherry.v1 import runs_pb2

# Pages that are being sent to many at once; more runs than that have few who watch each.
_KEPT_MAX = 8


class SharedPages:
    """Remembers the newest pages with their messages, by identity: reads that are shared give out one object."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._made: OrderedDict[int, tuple[Sequence[LogLine], runs_pb2.TailLogsResponse]] = OrderedDict()

    def message_of(self, page: Page) -> runs_pb2.TailLogsResponse:
        """The page as a message. It is everybody's: not to be altered."""
        if page.is_last:
            return runs_pb2.TailLogsResponse(lines=[line_to(line) for line in page.lines], done=True)
        # The lines are held with the message: as long as it is kept no other object has their identity.
        known = self._made.get(id(page.lines))
        if known is None:
            made = runs_pb2.TailLogsResponse(lines=[line_to(line) for line in page.lines])
            known = self._made[id(page.lines)] = (page.lines, made)
            if len(self._made) > _KEPT_MAX:
                self._made.popitem(last=False)
        return known[1]
