"""Who goes next: never more than there is, a turn for everybody, and the longest way first."""

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.service.domain.resources import Demand, Machine
from wherry.service.domain.schedule import Grant, Request, Schedule

GIB = 1024**3
MACHINE = Machine(cpus=4, memory_bytes=8 * GIB, gpus=2)
MUTEXES = ("licence", "port", "scratch")


@dataclass
class Bench:
    """A schedule, and what it has let run."""

    schedule: Schedule
    requests: dict[int, Request] = field(default_factory=dict)
    running: dict[int, Grant] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def ask(self, user: str = "ana", run: str = "1", **wanted: Any) -> int:
        number = next(self.numbers)
        request = Request(number=number, user=user, run=run, title=f"s{number}", **wanted)
        self.requests[number] = request
        self.schedule.add(request)
        return number

    def go(self) -> list[int]:
        grants = self.schedule.grant()
        self.running |= {grant.number: grant for grant in grants}
        self.order += [grant.number for grant in grants]
        return [grant.number for grant in grants]

    def end(self, number: int) -> None:
        del self.running[number]
        self.schedule.remove(number)

    def end_oldest(self) -> None:
        self.end(next(iter(self.running)))

    def users(self) -> list[str]:
        return [self.requests[number].user for number in self.order]


def bench(places: int = 4, machine: Machine = MACHINE) -> Bench:
    return Bench(Schedule(machine, places=places))


demands = st.builds(
    Demand,
    cpus=st.sampled_from([0.1, 0.5, 1.0, 1.5, 2.0, 4.0]),
    memory_bytes=st.sampled_from([0, GIB, 3 * GIB, 8 * GIB]),
    gpus=st.integers(0, 2),
    mutexes=st.frozensets(st.sampled_from(MUTEXES)),
)
requests = st.fixed_dictionaries(
    {
        "user": st.sampled_from("abc"),
        "run": st.sampled_from("12"),
        "demand": demands,
        "priority": st.sampled_from([-100, 0, 100]),
        "path_s": st.floats(0, 100),
    }
)
moves = st.lists(st.one_of(requests, st.integers(0, 30)), max_size=80)


def assert_within(made: Bench, places: int) -> None:
    held = [made.requests[number] for number in made.running]
    gpus = [gpu for grant in made.running.values() for gpu in grant.gpus]
    assert len(held) <= places
    assert sum(request.demand.cpus for request in held) <= MACHINE.cpus + 1e-9
    assert sum(request.demand.memory_bytes for request in held) <= MACHINE.memory_bytes
    assert len(gpus) == len(set(gpus)) == sum(request.demand.gpus for request in held)
    assert set(gpus) <= {0, 1}
    mutexes = Counter(name for request in held for name in request.demand.mutexes)
    assert all(count == 1 for count in mutexes.values())
    for run in {(request.user, request.run): request for request in held}.values():
        assert not run.run_places or run.run_places >= sum(
            (request.user, request.run) == (run.user, run.run) for request in held
        )


@settings(max_examples=200, deadline=None)
@given(moves=moves, places=st.integers(1, 6), run_places=st.integers(0, 3))
def test_nothing_is_given_twice_and_everybody_has_a_turn(
    moves: list[dict[str, Any] | int], places: int, run_places: int
) -> None:
    made = bench(places)
    waiting = set[int]()
    for move in moves:
        if isinstance(move, dict):
            wanted = dict(move)
            user, run = str(wanted.pop("user")), str(wanted.pop("run"))
            waiting.add(made.ask(user, f"{user}{run}", run_places=run_places, **wanted))
        elif waiting and move % 5 == 0:
            gone = sorted(waiting)[move % len(waiting)]  # withdrawn before its turn
            made.schedule.remove(gone)
            waiting.discard(gone)
        elif made.running:
            made.end(sorted(made.running)[move % len(made.running)])
        waiting -= set(made.go())
        assert_within(made, places)
        assert made.running or not waiting
    while made.running:
        made.end_oldest()
        waiting -= set(made.go())
        assert_within(made, places)
    assert not waiting


def test_users_share_whatever_the_number_of_their_stages_and_runs() -> None:
    made = bench(places=1)
    for run in range(5):
        for _ in range(20):
            made.ask("busy", f"busy-{run}")
    for _ in range(4):
        made.ask("rare", "rare")
    made.go()
    for _ in range(7):
        made.end_oldest()
        made.go()

    assert Counter(made.users()) == {"busy": 4, "rare": 4}


def test_whoever_holds_least_goes_first() -> None:
    made = bench(places=4)
    long = [made.ask("ana") for _ in range(3)]
    made.go()
    made.ask("ana")
    bens = [made.ask("ben", "2"), made.ask("ben", "2")]
    made.go()
    made.end(long[0])
    made.go()

    assert made.order[3:] == bens


def test_a_priority_tilts_and_starves_nobody() -> None:
    made = bench(places=1)
    for _ in range(200):
        made.ask("hasty", "h", priority=50)
        made.ask("calm", "c")
    made.go()
    for _ in range(99):
        made.end_oldest()
        made.go()
    turns = Counter(made.users())

    assert turns == {"hasty": 80, "calm": 20}  # 50 points: four turns to one


def test_a_user_cannot_starve_others_with_the_highest_priority() -> None:
    made = bench(places=1)
    for _ in range(1000):
        made.ask("greedy", "g", priority=100)
    low = made.ask("meek", "m", priority=-100)
    made.go()
    while low not in made.order:
        made.end_oldest()
        made.go()

    assert len(made.order) < 300


def test_the_stage_on_which_most_waits_goes_first() -> None:
    made = bench(places=1)
    short, long, middle = (made.ask(path_s=path_s) for path_s in (1.0, 9.0, 5.0))
    made.go()
    for _ in range(2):
        made.end_oldest()
        made.go()

    assert made.order == [long, middle, short]


def test_small_stages_pass_a_large_one_only_for_a_while() -> None:
    made = bench(places=4)
    made.ask("small", "s")
    made.go()
    large = made.ask("large", "l", demand=Demand(cpus=4))
    for _ in range(200):
        made.ask("small", "s")
    passed = 0
    made.go()
    while large not in made.running:
        made.end_oldest()
        passed += len(made.go())

    assert 0 < passed <= 20


def test_a_stage_that_waits_for_a_mutex_keeps_nothing_else_from_others() -> None:
    made = bench(places=4)
    holder = made.ask(demand=Demand(mutexes=frozenset({"licence"})))
    made.go()
    blocked = made.ask("ben", "2", demand=Demand(cpus=4, mutexes=frozenset({"licence"})))
    for _ in range(100):
        made.ask("cyd", "3")
    made.go()
    for _ in range(60):
        made.end(next(number for number in made.running if number != holder))
        made.go()

    assert len(made.running) == 4
    assert blocked not in made.running
    assert made.schedule.why_waiting(blocked) == (
        f"waits for 4 cpus (0 free), the mutex 'licence' (held by s{holder})"
    )
    made.end(holder)
    while blocked not in made.running:
        made.go()
        if blocked not in made.running:
            made.end_oldest()


def test_a_run_keeps_to_its_own_number_of_jobs() -> None:
    made = bench(places=4)
    for _ in range(4):
        made.ask(run_places=1)
    other = made.ask(run="2")

    assert made.go() == [0, other]


def test_every_gpu_has_one_owner() -> None:
    made = bench(places=4)
    first = made.ask(demand=Demand(gpus=1))
    made.ask(demand=Demand(gpus=1))
    third = made.ask(demand=Demand(gpus=1))
    made.go()
    made.end(first)
    made.go()

    assert [grant.gpus for grant in made.running.values()] == [(1,), (0,)]
    assert made.running[third].gpus == (0,)


def test_what_runs_already_holds_its_part_even_where_there_is_no_room_for_it() -> None:
    made = bench(places=2)
    licence = Demand(cpus=3, gpus=1, mutexes=frozenset({"licence"}))
    for number in (100, 101):
        taken = replace(licence, mutexes=frozenset({f"licence-{number}"}))
        made.schedule.occupy(
            Request(number=number, user="ana", run="1", title="old", demand=taken), (101 - number,)
        )
    waiting = made.ask("ben", "2", demand=Demand(cpus=1, gpus=1, mutexes=frozenset({"licence-101"})))

    assert made.go() == []
    made.schedule.remove(100)
    assert made.go() == []
    made.schedule.remove(101)
    assert made.go() == [waiting]
    made.end(waiting)
    all_of_it = made.ask("cyd", "3", demand=Demand(cpus=4, gpus=2))
    assert made.go() == [all_of_it]
    assert made.running[all_of_it].gpus == (0, 1)


@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        (Demand(cpus=4), "waits for 4 cpus (2 free)"),
        (Demand(memory_bytes=8 * GIB), "waits for 8 GiB of memory (5 GiB free)"),
        (Demand(gpus=2), "waits for 2 GPUs (1 free)"),
        (Demand(), ""),
    ],
)
def test_it_is_said_what_a_stage_waits_for(demand: Demand, reason: str) -> None:
    made = bench(places=2)
    made.ask(demand=Demand(cpus=2, memory_bytes=3 * GIB, gpus=1))
    made.go()
    made.ask("ben", "2", demand=Demand(cpus=0.0))
    made.go()

    assert made.schedule.why_waiting(made.ask("cyd", "3", demand=demand)) == reason


def test_the_work_for_a_stage_does_not_grow_with_those_that_wait() -> None:
    def comparisons(stages: int) -> int:
        counted = 0

        class Path(float):
            def __lt__(self, other: float) -> bool:
                nonlocal counted
                counted += 1
                return float(self) < float(other)

            def __neg__(self) -> "Path":
                return Path(-float(self))

        made = bench(places=2)
        for number in range(stages):
            made.ask(path_s=Path(number % 97))
        made.go()
        before = counted
        for _ in range(100):
            made.end_oldest()
            made.go()
        return counted - before

    assert 0 < comparisons(20_000) < 3 * comparisons(500)


def test_an_idle_schedule_keeps_nothing() -> None:
    made = bench()
    for run in range(50):
        made.ask(f"user-{run}", str(run), demand=Demand(cpus=4, mutexes=frozenset({"licence"})))
    made.go()
    while made.running:
        made.end_oldest()
        made.go()

    kept = (
        getattr(made.schedule, name)
        for name in ("_users", "_waiting", "_running", "_mutexes", "_passes", "_owed")
    )
    assert [len(held) for held in kept] == [0] * 6
