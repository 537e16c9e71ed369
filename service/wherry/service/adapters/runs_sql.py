"""Runs, their stages and their events in SQL.

Several processes may share the tables: an event's number is taken while its run's row is locked, and waiting
looks again now and then when somebody else may have written.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, insert, select, update

from wherry.service.adapters import records_json
from wherry.service.adapters.database import Database
from wherry.service.adapters.names import make_up_name
from wherry.service.adapters.new_stages import dump_new_stage, load_any_stage
from wherry.service.adapters.run_events_sql import RunEvents, append_events, run_number
from wherry.service.adapters.submissions_sql import submission_row
from wherry.service.adapters.tables import run_stages, runs, submissions
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import InvalidInput, RunUnknown, StageUnknown
from wherry.service.domain.run import Event, NewRun, Run, StageRecord
from wherry.service.domain.states import State
from wherry.service.domain.task import RunId
from wherry.service.ports.runs import RunStore

_FINAL_STATES = tuple(state for state in State if state.is_final)


# Built once: building a statement costs several times what executing it does.
_RUN = select(runs).where(runs.c.id == bindparam("number"))
_NEWEST_CALLED = select(runs).where(runs.c.name == bindparam("called")).order_by(runs.c.id.desc()).limit(1)
_LOCK = select(runs.c.id).where(runs.c.id == bindparam("number")).with_for_update()
_STAGES = (
    select(run_stages.c.run_id, run_stages.c.record)
    .where(run_stages.c.run_id == bindparam("number"))
    .order_by(run_stages.c.position)
)
_STAGE_NAMES = select(run_stages.c.name).where(
    run_stages.c.run_id == bindparam("number"), run_stages.c.name.in_(bindparam("names", expanding=True))
)
# Below what either database takes in one statement.
_NAMES_AT_ONCE = 500
_NAME_IS_TAKEN = select(
    exists().where(runs.c.project == bindparam("of_project"), runs.c.name == bindparam("called"))
)
_CHANGE_STAGE = (
    update(run_stages)
    .where(run_stages.c.run_id == bindparam("number"), run_stages.c.name == bindparam("stage"))
    .values(record=bindparam("new_record"), state=bindparam("new_state"))
)


class SqlRunStore(RunStore):
    """Runs in the tables `runs`, `run_stages` and `events`."""

    def __init__(self, database: Database, chance: Random, *, owner: str = "") -> None:
        """Take names for runs from `chance`. Runs that are created belong to the service called `owner`."""
        self._database = database
        self._owner = owner
        self._chance = chance
        self._events = RunEvents(database)
        # Built once, as the statements above are.
        self._insertion = (
            database.insert(runs)
            .on_conflict_do_nothing(index_elements=["user", "idempotency_key"])
            .returning(runs.c.id)
        )

    async def create(self, new: NewRun) -> tuple[Run, bool]:
        """See the port. Creating a run appends no event: event 1 is its first change.

        On PostgreSQL two processes that make up a name at the same instant may, rarely, choose the same.
        """
        return await self._database.run(lambda connection: self._create(connection, new))

    async def get(self, run: str) -> Run:
        """See the port."""
        return await self._database.run(lambda connection: _get(connection, run))

    async def list_page(
        self, *, project: str | None, active_only: bool, before: RunId | None, limit: int
    ) -> Sequence[Run]:
        """See the port.

        Raises:
            InvalidInput: if `before` is no run's id.
        """
        query = select(runs).order_by(runs.c.id.desc()).limit(limit)
        if project is not None:
            query = query.where(runs.c.project == project)
        if active_only:
            query = query.where(runs.c.state.not_in(_FINAL_STATES))
        if before is not None:
            number = run_number(before)
            if number is None:
                raise InvalidInput(f"{before[:80]!r} is not the id of a run")
            query = query.where(runs.c.id < number)
        return await self._database.run(
            lambda connection: [_run(row, {}) for row in connection.execute(query)]
        )

    async def save_run(self, run: Run) -> None:
        """See the port.

        Raises:
            RunUnknown: if there is no such run.
        """
        await self._keep(run.id, lambda connection: _save_run(connection, run))

    async def request_stop(self, run_id: RunId) -> None:
        """See the port."""
        change = update(runs).where(runs.c.id == run_number(run_id)).values(stop_requested=True)
        await self._database.run(lambda connection: connection.execute(change))

    async def save_stages(self, run_id: RunId, stages: Sequence[StageRecord]) -> None:
        """See the port.

        Raises:
            RunUnknown: if there is no such run.
            StageUnknown: if the run has no such stage; then none is kept.
        """
        if not stages:
            return
        await self._keep(run_id, lambda connection: _save_stages(connection, run_id, stages))

    async def _keep(self, run_id: RunId, change: Callable[[Connection], Sequence[Event]]) -> None:
        async def keep() -> None:
            self._events.tell(run_id, await self._database.run(change))

        # What is kept is told, also when whoever wanted it kept is cancelled meanwhile.
        await asyncio.shield(asyncio.create_task(keep()))

    async def events_after(self, run_id: RunId, sequence: int, limit: int) -> Sequence[Event]:
        """See the port. An unknown run has none. Events of another process may be told half a second late."""
        return await self._events.read_after(run_id, sequence, limit)

    async def wait_for_events(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        """See the port."""
        await self._events.wait(run_id, sequence, timeout_s)

    async def list_stopping(self) -> Sequence[RunId]:
        """See the port."""
        query = select(runs.c.id).where(
            runs.c.stop_requested.is_(True),
            runs.c.state.not_in(_FINAL_STATES),
            runs.c.owner.in_(sorted({"", self._owner})),
        )
        numbers = await self._database.run(lambda connection: connection.execute(query).scalars().all())
        return [RunId(str(number)) for number in numbers]

    async def list_active(self) -> Sequence[Run]:
        """See the port."""
        owners = {"", self._owner}
        return await self._database.run(lambda connection: _list_active(connection, owners))

    def _create(self, connection: Connection, new: NewRun) -> tuple[Run, bool]:
        columns = {
            "idempotency_key": new.idempotency_key,
            "user": new.user,
            "name": new.name or self._make_up_name(connection, new.project),
            "project": new.project,
            "rev": new.rev,
            "dirty": new.dirty,
            "message": new.message,
            "labels": records_json.dump_labels(new.labels),
            "priority": new.priority,
            "owner": self._owner,
            "state": State.QUEUED,
            "created_at": new.created_at,
            "compute_s": 0.0,
            "saved_s": 0.0,
            "write_backs": records_json.dump_write_backs(()),
            "snapshot": new.snapshot or None,
        }
        number = connection.execute(self._insertion, columns).scalar_one_or_none()
        if number is None:
            known = select(runs.c.id).where(
                runs.c.user == new.user, runs.c.idempotency_key == new.idempotency_key
            )
            return _get(connection, str(connection.execute(known).scalar_one())), False
        if new.stages:
            connection.execute(insert(run_stages), _stage_rows(number, new.stages))
        if new.content:
            connection.execute(insert(submissions), submission_row(number, new))
        row = connection.execute(_RUN, {"number": number}).one()
        return _run(row, {name: StageRecord(name=name) for name in new.stages}), True

    def _make_up_name(self, connection: Connection, project: str) -> str:
        def is_taken(name: str) -> bool:
            asked = {"of_project": project, "called": name}
            return bool(connection.execute(_NAME_IS_TAKEN, asked).scalar_one())

        return make_up_name(self._chance, is_taken)


def _get(connection: Connection, run: str) -> Run:
    if run.isascii() and run.isdecimal():
        row = connection.execute(_RUN, {"number": run_number(run)}).one_or_none()
    else:
        row = connection.execute(_NEWEST_CALLED, {"called": run}).one_or_none()
    if row is None:
        raise _unknown(run)
    return _run(row, _stages_of(connection, [row.id])[row.id])


def _list_active(connection: Connection, owners: Collection[str]) -> Sequence[Run]:
    query = (
        select(runs)
        .where(runs.c.state.not_in(_FINAL_STATES), runs.c.owner.in_(sorted(owners)))
        .order_by(runs.c.id)
    )
    rows = connection.execute(query).all()
    stages = _stages_of(connection, [row.id for row in rows])
    return [_run(row, stages[row.id]) for row in rows]


def _stages_of(connection: Connection, numbers: Sequence[int]) -> dict[int, dict[StageName, StageRecord]]:
    """The stages of each run, in topological order."""
    found: dict[int, dict[StageName, StageRecord]] = {}
    for number in numbers:
        rows = connection.execute(_STAGES, {"number": number})
        records = [load_any_stage(row.record) for row in rows]
        found[number] = {record.name: record for record in records}
    return found


def _save_run(connection: Connection, run: Run) -> Sequence[Event]:
    change = (
        update(runs)
        .where(runs.c.id == run_number(run.id), runs.c.state.not_in(_FINAL_STATES))
        .values(
            name=run.name,
            project=run.project,
            user=run.user,
            rev=run.rev,
            dirty=run.dirty,
            message=run.message,
            state=run.state,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            compute_s=run.compute_s,
            saved_s=run.saved_s,
            error=None if run.error is None else records_json.dump_error(run.error),
            write_backs=records_json.dump_write_backs(run.write_backs),
        )
    )
    if connection.execute(change).rowcount:
        return append_events(connection, run_number(run.id), [(run, records_json.dump_event(run))])
    _lock(connection, run.id)  # raises when there is no such run; otherwise it is final
    return ()


def _save_stages(connection: Connection, run_id: RunId, stages: Sequence[StageRecord]) -> Sequence[Event]:
    number = _lock(connection, run_id)
    records = [records_json.dump_stage(stage) for stage in stages]
    changes = [
        {"number": number, "stage": stage.name, "new_record": record, "new_state": stage.state}
        for stage, record in zip(stages, records, strict=True)
    ]
    if connection.execute(_CHANGE_STAGE, changes).rowcount != len(changes):
        _expect_stages(connection, number, sorted({stage.name for stage in stages}))
    told = zip(stages, map(records_json.event_of_stage, records), strict=True)
    return append_events(connection, number, told)


def _expect_stages(connection: Connection, number: int, names: Sequence[str]) -> None:
    known = set[str]()
    for start in range(0, len(names), _NAMES_AT_ONCE):
        asked = {"number": number, "names": names[start : start + _NAMES_AT_ONCE]}
        known.update(connection.execute(_STAGE_NAMES, asked).scalars())
    if len(known) < len(names):
        raise StageUnknown(f"run {number} has no stage {', '.join(sorted(set(names) - known))}")


def _lock(connection: Connection, run_id: RunId) -> int:
    """Keep others from appending events to the run until the transaction ends. SQLite locks it all anyway."""
    number: int | None = connection.execute(_LOCK, {"number": run_number(run_id)}).scalar_one_or_none()
    if number is None:
        raise _unknown(run_id)
    return number


def _stage_rows(number: int, names: Sequence[StageName]) -> list[dict[str, Any]]:
    return [
        {
            "run_id": number,
            "position": position,
            "name": name,
            "record": dump_new_stage(name),
            "state": State.QUEUED,
        }
        for position, name in enumerate(names)
    ]


def _run(row: Row[Any], stages: Mapping[StageName, StageRecord]) -> Run:
    return Run(
        id=RunId(str(row.id)),
        name=row.name,
        project=row.project,
        user=row.user,
        rev=row.rev,
        dirty=row.dirty,
        message=row.message,
        state=State(row.state),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        compute_s=row.compute_s,
        saved_s=row.saved_s,
        stages=stages,
        error=None if row.error is None else records_json.load_error(row.error),
        write_backs=records_json.load_write_backs(row.write_backs),
        stop_requested=row.stop_requested,
        snapshot=row.snapshot or "",
        labels=records_json.load_labels(row.labels),
        priority=row.priority,
    )


def _unknown(run: str) -> RunUnknown:
    return RunUnknown(f"there is no run {run[:80]!r}", hint="See the runs there are with: wherry ps")
