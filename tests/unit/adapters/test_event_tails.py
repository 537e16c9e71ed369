"""The newest events of runs, kept in memory."""

from wherry.service.adapters.event_tails import EventTails
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import Event, StageRecord
from wherry.service.domain.task import RunId

_RUN = RunId("7")


def _events(first: int, last: int) -> list[Event]:
    return [
        Event(sequence=number, about=StageRecord(name=StageName(f"stage {number}")))
        for number in range(first, last + 1)
    ]


def test_of_a_run_that_nothing_was_added_to_nothing_is_known() -> None:
    tails = EventTails()
    assert (tails.has_after(_RUN, 0), tails.read_after(_RUN, 0, 10)) == (None, None)


def test_events_are_read_from_any_that_is_there() -> None:
    tails = EventTails()
    tails.add(_RUN, _events(1, 3))
    tails.add(_RUN, _events(4, 4))
    assert tails.read_after(_RUN, 0, 10) == _events(1, 4)
    assert tails.read_after(_RUN, 2, 10) == _events(3, 4)
    assert tails.read_after(_RUN, 1, 2) == _events(2, 3)
    assert tails.read_after(_RUN, 4, 10) == ()
    assert (tails.has_after(_RUN, 3), tails.has_after(_RUN, 4)) == (True, False)


def test_what_came_before_the_tail_is_not_known() -> None:
    tails = EventTails()
    tails.add(_RUN, _events(5, 6))
    assert tails.read_after(_RUN, 3, 10) is None
    assert tails.read_after(_RUN, 4, 10) == _events(5, 6)


def test_whoever_is_far_behind_is_sent_to_the_database() -> None:
    tails = EventTails()
    tails.add(_RUN, _events(1, 5000))
    assert tails.read_after(_RUN, 0, 10) is None
    assert tails.read_after(_RUN, 4998, 10) == _events(4999, 5000)


def test_a_gap_begins_a_tail_anew() -> None:
    tails = EventTails()
    tails.add(_RUN, _events(1, 2))
    tails.add(_RUN, _events(4, 5))
    assert tails.read_after(_RUN, 1, 10) is None
    assert tails.read_after(_RUN, 3, 10) == _events(4, 5)


def test_what_is_told_out_of_turn_makes_nobody_miss_it() -> None:
    tails = EventTails()
    tails.add(_RUN, _events(3, 4))
    tails.add(_RUN, _events(1, 2))
    assert tails.has_after(_RUN, 3) is True
    assert tails.read_after(_RUN, 0, 10) is None
    assert tails.read_after(_RUN, 4, 10) == ()
    tails.add(_RUN, _events(5, 5))
    assert tails.read_after(_RUN, 4, 10) == _events(5, 5)


def test_only_so_many_runs_are_remembered() -> None:
    tails = EventTails()
    for number in range(1000):
        tails.add(RunId(str(number)), _events(1, 1))
    assert len(tails) < 1000
    assert tails.has_after(RunId("0"), 0) is None
    assert tails.has_after(RunId("999"), 0) is True


def test_of_all_runs_together_only_so_many_events_are_remembered() -> None:
    tails = EventTails()
    for number in range(20):
        tails.add(RunId(str(number)), _events(1, 1500))
    assert tails.read_after(RunId("0"), 0, 10) is None
    assert tails.read_after(RunId("19"), 0, 10) == _events(1, 10)
