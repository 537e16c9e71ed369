"""Events of runs in SQL: appended in the transaction of what they tell of, and read by those who follow.

What this process has appended is told from memory where nobody else writes to the database.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, select

from wherry.service.adapters import records_json
from wherry.service.adapters.database import Database
from wherry.service.adapters.event_tails import EventTails
from wherry.service.adapters.shared_reads import SharedReads
from wherry.service.adapters.tables import events
from wherry.service.adapters.wakeups import Wakeups
from wherry.service.domain.run import Event, Run, StageRecord
from wherry.service.domain.task import RunId

# How long another process's event may go unnoticed.
_LOOK_AGAIN_S = 1.0

# The column is a 32-bit integer on PostgreSQL: no run has a longer number.
_ID_MAX = 2**31 - 1

# Built once: building a statement costs several times what executing it does.
_OF_RUN = events.c.run_id == bindparam("number")
_AFTER = (
    select(events.c.sequence, events.c.payload)
    .where(_OF_RUN, events.c.sequence > bindparam("after"))
    .order_by(events.c.sequence)
    .limit(bindparam("most"))
)
_HAS_AFTER = select(exists().where(_OF_RUN, events.c.sequence > bindparam("after")))
_NEWEST = select(func.coalesce(func.max(events.c.sequence), 0)).where(_OF_RUN)
_APPEND = insert(events)


class RunEvents:
    """The table `events`, for those who follow runs."""

    def __init__(self, database: Database) -> None:
        """Read from the database what is not known from `tell`."""
        self._database = database
        self._wakeups = Wakeups()
        self._news = SharedReads[Sequence[Event]]()
        self._has_news = SharedReads[bool]()
        # Another process may append to the events of a run: then what this one has appended is not all.
        self._tails = None if database.is_shared else EventTails()

    def tell(self, run_id: RunId, written: Sequence[Event]) -> None:
        """These are in the database now, and whoever waits for them is woken."""
        if self._tails is not None:
            self._tails.add(run_id, written)
        self._news.changed(run_id)
        self._has_news.changed(run_id)
        self._wakeups.wake(run_id)

    async def read_after(self, run_id: RunId, sequence: int, limit: int) -> Sequence[Event]:
        """Events after a number, oldest first. An unknown run has none."""
        return await self._news(run_id, (sequence, limit), lambda: self._read_after(run_id, sequence, limit))

    async def wait(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        """Return once an event after a number exists, or when time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        with self._wakeups.listen(run_id) as listener:
            while not await self._has_after(run_id, sequence):
                remaining_s = deadline - loop.time()
                if remaining_s <= 0:
                    return
                pause_s = min(remaining_s, _LOOK_AGAIN_S) if self._database.is_shared else remaining_s
                try:
                    await asyncio.wait_for(listener.wait(), pause_s)
                except TimeoutError:
                    continue
                listener.clear()

    async def _read_after(self, run_id: RunId, sequence: int, limit: int) -> Sequence[Event]:
        known = None if self._tails is None else self._tails.read_after(run_id, sequence, limit)
        if known is not None:
            return list(known)
        values = {"number": run_number(run_id), "after": sequence, "most": limit}
        rows = await self._database.run(lambda connection: connection.execute(_AFTER, values).all())
        return [Event(sequence=row.sequence, about=records_json.load_event(row.payload)) for row in rows]

    async def _has_after(self, run_id: RunId, sequence: int) -> bool:
        known = None if self._tails is None else self._tails.has_after(run_id, sequence)
        if known is not None:
            return known
        values: dict[str, Any] = {"number": run_number(run_id), "after": sequence}

        async def look() -> bool:
            return await self._database.run(
                lambda connection: bool(connection.execute(_HAS_AFTER, values).scalar_one())
            )

        return await self._has_news(run_id, sequence, look)


def append_events(
    connection: Connection, number: int | None, told: Iterable[tuple[Run | StageRecord, str]]
) -> Sequence[Event]:
    """Append one event each to a run whose row is locked by this transaction; each comes with its text."""
    first = connection.execute(_NEWEST, {"number": number}).scalar_one() + 1
    rows, written = [], []
    for sequence, (about, payload) in enumerate(told, first):
        rows.append({"run_id": number, "sequence": sequence, "payload": payload})
        written.append(Event(sequence=sequence, about=_as_read_back(about)))
    connection.execute(_APPEND, rows)
    return written


def _as_read_back(about: Run | StageRecord) -> Run | StageRecord:
    """Of a run an event has what people are told, and not its stages."""
    return replace(about, stages={}, snapshot="", stop_requested=False) if isinstance(about, Run) else about


def run_number(run_id: str) -> int | None:
    """The id as the tables have it; None when no run can have it."""
    if not (run_id.isascii() and run_id.isdecimal()) or len(run_id) > len(str(_ID_MAX)):
        return None
    return number if (number := int(run_id)) <= _ID_MAX else None
