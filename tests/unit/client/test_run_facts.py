"""What a run object knows of its run: answers that overtake each other do not bring it back to life."""

from typing import TYPE_CHECKING, cast

from wherry.client.run import Run
from wherry.v1.runs_pb2 import STATE_CANCELLED, STATE_RUNNING
from wherry.v1.runs_pb2 import Run as RunRecord

if TYPE_CHECKING:
    from wherry.client.client import Client


class _Answers:
    """A service whose answers come in a given order."""

    def __init__(self, *records: RunRecord) -> None:
        self._records = list(records)

    def run(self, _: str) -> Run:
        return Run(cast("Client", self), self._records.pop(0))

    stop = run


def test_an_answer_from_before_the_end_does_not_undo_it() -> None:
    begun, ended = RunRecord(id="7", state=STATE_RUNNING), RunRecord(id="7", state=STATE_CANCELLED)
    run = Run(cast("Client", _Answers(begun, ended, begun)), begun)

    assert run.refresh().state == "running"
    assert run.refresh().state == "cancelled"
    assert run.stop().state == "cancelled"
