"""Events that are told from memory are those that stand in the database, without gap."""

from collections.abc import Sequence

from wherry.service.adapters.recent_events import RecentEvents
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import Event, StageRecord
from wherry.service.domain.task import RunId

RUN, OTHER = RunId("1"), RunId("2")


def records(*names: str) -> list[StageRecord]:
    return [StageRecord(name=StageName(name)) for name in names]


def told(events: Sequence[Event]) -> list[tuple[int, str]]:
    return [(event.sequence, event.about.name) for event in events]


def test_what_comes_next_is_told_page_by_page() -> None:
    recent = RecentEvents()
    recent.keep(RUN, 1, records("a", "b"))
    recent.keep(RUN, 3, records("c"))
    assert told(recent.after(RUN, 0, 2)) == [(1, "a"), (2, "b")]
    assert told(recent.after(RUN, 2, 2)) == [(3, "c")]
    assert not recent.after(RUN, 3, 2)
    assert not recent.after(OTHER, 0, 2)


def test_nothing_is_told_over_a_gap() -> None:
    recent = RecentEvents()
    recent.keep(RUN, 1, records("a"))
    # Event 2 was written by another process.
    recent.keep(RUN, 3, records("c"))
    assert not recent.after(RUN, 0, 9)
    assert not recent.after(RUN, 1, 9)
    assert told(recent.after(RUN, 2, 9)) == [(3, "c")]


def test_what_is_heard_of_too_late_changes_nothing() -> None:
    recent = RecentEvents()
    recent.keep(RUN, 3, records("c"))
    recent.keep(RUN, 2, records("b"))
    assert told(recent.after(RUN, 2, 9)) == [(3, "c")]
    assert not recent.after(RUN, 1, 9)


def test_no_more_is_remembered_than_was_said() -> None:
    recent = RecentEvents(events_max=3)
    recent.keep(RUN, 1, records("a", "b"))
    recent.keep(OTHER, 1, records("x", "y"))
    assert not recent.after(RUN, 0, 9)
    assert told(recent.after(OTHER, 0, 9)) == [(1, "x"), (2, "y")]
    recent.keep(OTHER, 3, records("z", "za"))
    assert not recent.after(OTHER, 0, 9)
