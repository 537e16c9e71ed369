"""Which of the waiting stages goes next: the policy by which stages of all runs share a machine.

- Nothing is given that is not there: processors, memory, GPUs, places; and nobody shares a mutex.
- Between users the one who holds least goes first; of one user's runs, the one that holds least. What somebody holds
  is the largest part of any resource, over a weight that follows from the priority: 25 points double it.
  Equals take turns, as often as their weights say, so that a priority tilts where there is one place only.
- Within a run the stage goes first on which the longest work still waits.
- A stage that does not fit is passed over by those that do, but only so often: then what it needs is kept free for
  it. So everybody has a turn.

Giving a stage its place takes time by the number of users and runs that have stages waiting, and of different
demands in them, not by the number of stages.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from wherry.service.domain.resources import Demand, Machine, cpus_text, size_text

_PRIORITY_DOUBLES = 25

# How many may overtake a stage that does not fit, before the machine is kept free for it.
_PASSES_MAX = 16

# Processors and shares are added and taken back as whole numbers: sums of fractions would drift.
_MILLI = 1_000
_SHARE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A stage that wants to run."""

    number: int
    """Never used before, growing."""
    user: str
    run: str
    title: str
    """How it is called where others wait for it."""
    demand: Demand = field(default_factory=Demand)
    priority: int = 0
    run_places: int = 0
    """How many stages of the run may run at once; 0: any number. The same for all of a run."""
    path_s: float = 0.0
    """Estimated seconds of the longest way from its start to the end of the run."""

    @property
    def weight(self) -> float:
        """How much its run counts against others."""
        return float(2 ** (self.priority / _PRIORITY_DOUBLES))


@dataclass(frozen=True, slots=True)
class Grant:
    """The stage may run now."""

    number: int
    gpus: tuple[int, ...]
    """The GPUs that are its own, by index."""


@dataclass(slots=True)
class _Turns:
    """How much somebody holds, and how often they have had a turn."""

    held: int = 0
    taken: float = 0.0


@dataclass(slots=True)
class _Run:
    turns: _Turns
    weight: float
    places: int
    running: int = 0
    queues: dict[Demand, list[tuple[float, int]]] = field(default_factory=dict)
    """By what is demanded: the longest path first, then the oldest."""
    waiting: int = 0

    @property
    def is_full(self) -> bool:
        return 0 < self.places <= self.running

    @property
    def key(self) -> tuple[float, float]:
        return (self.turns.held / self.weight, self.turns.taken)


@dataclass(slots=True)
class _User:
    turns: _Turns
    runs: dict[str, _Run] = field(default_factory=dict)


@dataclass(slots=True)
class _Free:
    """What nobody holds."""

    places: int
    millicpus: int
    memory_bytes: int
    gpus: list[int]


class Schedule:
    """The stages that wait for a machine, and those that hold a part of it."""

    def __init__(self, machine: Machine, *, places: int) -> None:
        """Let at most `places` stages run at once on the machine, whatever they demand."""
        self._machine = machine
        self._free = _Free(
            places=places,
            millicpus=_milli(machine.cpus),
            memory_bytes=machine.memory_bytes,
            gpus=list(range(machine.gpus)),
        )
        self._users: dict[str, _User] = {}
        self._waiting: dict[int, Request] = {}
        self._running: dict[int, tuple[Request, tuple[int, ...]]] = {}
        self._mutexes: dict[str, str] = {}
        """Who holds them."""
        self._passes: dict[int, int] = {}
        self._owed: dict[int, None] = {}
        """Those that were passed over too often, oldest first."""

    def add(self, request: Request) -> None:
        """Let a stage wait."""
        user = self._users.get(request.user)
        if user is None:
            # Whoever comes begins with as many turns as those who are here: absence earns nothing.
            user = _User(_Turns(taken=min((u.turns.taken for u in self._users.values()), default=0.0)))
            self._users[request.user] = user
        run = user.runs.get(request.run)
        if run is None:
            taken = min((r.turns.taken for r in user.runs.values()), default=0.0)
            run = _Run(_Turns(taken=taken), weight=request.weight, places=request.run_places)
            user.runs[request.run] = run
        heapq.heappush(run.queues.setdefault(request.demand, []), (-request.path_s, request.number))
        run.waiting += 1
        self._waiting[request.number] = request

    def occupy(self, request: Request, gpus: tuple[int, ...]) -> None:
        """A stage runs already, whatever there is: nobody else gets what it holds. `gpus` are its own."""
        self.add(request)
        self._take(request, gpus)

    def remove(self, number: int) -> None:
        """A stage has ended, or does not want to run any more."""
        if number in self._waiting:
            request = self._waiting.pop(number)
            self._passes.pop(number, None)
            self._owed.pop(number, None)
            self._run_of(request).waiting -= 1
        else:
            request, gpus = self._running.pop(number)
            self._give_back(request, gpus)
        self._forget_idle(request)

    def grant(self) -> list[Grant]:
        """Give places to those whose turn it is, as many as there are."""
        granted = []
        while (chosen := self._choose()) is not None:
            granted.append(self._take(chosen))
        return granted

    def why_waiting(self, number: int) -> str:
        """What a waiting stage lacks, beyond its turn; empty: nothing."""
        demand = self._waiting[number].demand
        lacking = []
        if demand.cpus > 1 and _milli(demand.cpus) > self._free.millicpus:
            lacking.append(f"{cpus_text(demand.cpus)} ({self._free.millicpus / _MILLI:g} free)")
        if demand.memory_bytes > self._free.memory_bytes:
            free = size_text(self._free.memory_bytes)
            lacking.append(f"{size_text(demand.memory_bytes)} of memory ({free} free)")
        if demand.gpus > len(self._free.gpus):
            lacking.append(
                f"{demand.gpus} GPU" + ("s" if demand.gpus > 1 else "") + f" ({len(self._free.gpus)} free)"
            )
        lacking += [
            f"the mutex {name!r} (held by {self._mutexes[name]})"
            for name in sorted(demand.mutexes & self._mutexes.keys())
        ]
        return f"waits for {', '.join(lacking)}" if lacking else ""

    def _choose(self) -> Request | None:
        if self._free.places < 1:
            return None
        kept = self._kept_free()
        if kept is not None and self._fits(kept.demand):
            return kept
        passed: list[int] = []
        for request in self._in_order():
            if self._fits(request.demand, kept=kept):
                for number in passed:
                    self._pass(number)
                return request
            passed.append(request.number)
        return None

    def _in_order(self) -> Iterator[Request]:
        """The first of every queue, in the order in which they are to be tried."""
        for user in sorted(self._users.values(), key=_user_key):
            for run in sorted(user.runs.values(), key=lambda run: run.key):
                if run.waiting and not run.is_full:
                    yield from (self._waiting[number] for _, number in sorted(self._heads(run)))

    def _heads(self, run: _Run) -> Iterator[tuple[float, int]]:
        for demand, queue in list(run.queues.items()):
            while queue and queue[0][1] not in self._waiting:
                heapq.heappop(queue)
            if queue:
                yield queue[0]
            else:
                del run.queues[demand]

    def _pass(self, number: int) -> None:
        self._passes[number] = self._passes.get(number, 0) + 1
        if self._passes[number] >= _PASSES_MAX:
            self._owed[number] = None

    def _kept_free(self) -> Request | None:
        """Whom the machine is kept free for."""
        owed = (self._waiting[number] for number in self._owed)
        return next((request for request in owed if not self._run_of(request).is_full), None)

    def _fits(self, demand: Demand, *, kept: Request | None = None) -> bool:
        places, millicpus = self._free.places, self._free.millicpus
        memory_bytes, gpus = self._free.memory_bytes, len(self._free.gpus)
        if not demand.mutexes.isdisjoint(self._mutexes):
            return False
        if kept is not None:
            if not demand.mutexes.isdisjoint(kept.demand.mutexes):
                return False
            # Whoever waits for a mutex could not use the rest now.
            if kept.demand.mutexes.isdisjoint(self._mutexes):
                places -= 1
                millicpus -= self._millicpus(kept.demand)
                memory_bytes -= kept.demand.memory_bytes
                gpus -= kept.demand.gpus
        return (
            places >= 1
            and self._millicpus(demand) <= millicpus
            and (not demand.memory_bytes or demand.memory_bytes <= memory_bytes)
            and (not demand.gpus or demand.gpus <= gpus)
        )

    def _millicpus(self, demand: Demand) -> int:
        """On a machine with less than what a stage needs, it needs all of it."""
        return min(_milli(demand.cpus), _milli(self._machine.cpus))

    def _take(self, request: Request, gpus: tuple[int, ...] | None = None) -> Grant:
        demand, free = request.demand, self._free
        if gpus is None:
            gpus = tuple(free.gpus[: demand.gpus])
        del self._waiting[request.number]
        self._passes.pop(request.number, None)
        self._owed.pop(request.number, None)
        free.gpus = [gpu for gpu in free.gpus if gpu not in gpus]
        free.places -= 1
        free.millicpus -= self._millicpus(demand)
        free.memory_bytes -= demand.memory_bytes
        self._mutexes |= dict.fromkeys(demand.mutexes, request.title)
        self._running[request.number] = (request, gpus)
        user, run = self._users[request.user], self._run_of(request)
        run.waiting -= 1
        run.running += 1
        for turns in (user.turns, run.turns):
            turns.held += self._share(demand)
            turns.taken += 1 / run.weight
        return Grant(request.number, gpus)

    def _give_back(self, request: Request, gpus: tuple[int, ...]) -> None:
        demand, free = request.demand, self._free
        free.gpus = sorted([*free.gpus, *gpus])
        free.places += 1
        free.millicpus += self._millicpus(demand)
        free.memory_bytes += demand.memory_bytes
        for name in demand.mutexes:
            self._mutexes.pop(name, None)
        user, run = self._users[request.user], self._run_of(request)
        run.running -= 1
        for turns in (user.turns, run.turns):
            turns.held -= self._share(demand)

    def _share(self, demand: Demand) -> int:
        """The largest part of any resource."""
        machine = self._machine
        parts = [
            demand.cpus / machine.cpus,
            demand.memory_bytes / machine.memory_bytes,
            demand.gpus / machine.gpus if machine.gpus else 0.0,
        ]
        return round(max(parts) * _SHARE)

    def _run_of(self, request: Request) -> _Run:
        return self._users[request.user].runs[request.run]

    def _forget_idle(self, request: Request) -> None:
        user, run = self._users[request.user], self._run_of(request)
        if not run.waiting and not run.running:
            del user.runs[request.run]
        if not user.runs:
            del self._users[request.user]


def _user_key(user: _User) -> tuple[float, float]:
    """A user's weight is that of the weightiest run that waits."""
    weight = max((run.weight for run in user.runs.values() if run.waiting), default=1.0)
    return (user.turns.held / weight, user.turns.taken)


def _milli(cpus: float) -> int:
    return round(cpus * _MILLI)
