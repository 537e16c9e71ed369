"""A run put together from its events."""

from wherry.client.heard_run import HeardRun
from wherry.client.watching import Event, RunChanged, StageChanged
from wherry.v1.runs_pb2 import (
    STATE_FAILED,
    STATE_QUEUED,
    STATE_RUNNING,
    STATE_SKIPPED,
    STATE_SUCCEEDED,
    Run,
    StageRecord,
    State,
)

ACCEPTED = Run(
    id="7",
    state=STATE_QUEUED,
    stages=[StageRecord(name=name, state=STATE_QUEUED) for name in ("b", "a", "c")],
)


def stage(name: str, state: State.ValueType) -> StageChanged:
    return StageChanged(StageRecord(name=name, state=state))


def test_at_the_end_it_is_the_run_with_the_last_that_was_heard_of_each_stage() -> None:
    events: list[Event] = [
        RunChanged(Run(id="7", state=STATE_RUNNING)),
        stage("a", STATE_RUNNING),
        stage("b", STATE_SUCCEEDED),
        stage("a", STATE_FAILED),
        stage("c", STATE_SKIPPED),
        RunChanged(Run(id="7", state=STATE_FAILED, compute_s=3.0)),
    ]
    heard = HeardRun(ACCEPTED)
    assert list(heard.listen(events)) == events
    assert heard.ended() == Run(
        id="7",
        state=STATE_FAILED,
        compute_s=3.0,
        stages=[
            StageRecord(name="b", state=STATE_SUCCEEDED),
            StageRecord(name="a", state=STATE_FAILED),
            StageRecord(name="c", state=STATE_SKIPPED),
        ],
    )


def test_without_its_end_nothing_is_said() -> None:
    heard = HeardRun(ACCEPTED)
    list(heard.listen([RunChanged(Run(id="7", state=STATE_RUNNING)), stage("a", STATE_SUCCEEDED)]))
    assert heard.ended() is None


def test_without_its_stages_nothing_is_said() -> None:
    heard = HeardRun(Run(id="7", state=STATE_RUNNING))
    list(heard.listen([RunChanged(Run(id="7", state=STATE_SUCCEEDED))]))
    assert heard.ended() is None
