import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest

from tests.fakes.run_store import FakeRunStore
from wherry.service.adapters.database import Database
from wherry.service.adapters.runs_sql import SqlRunStore
from wherry.service.adapters.submissions_sql import SqlSubmissionStore
from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import InvalidInput, RunUnknown, StageUnknown
from wherry.service.domain.images.image import Image, NamedImage, PullPolicy
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind
from wherry.service.domain.run import (
    EndedAttempt,
    Event,
    FileRecord,
    NewRun,
    Run,
    RunError,
    StageRecord,
    WriteBack,
    WriteBackKind,
)
from wherry.service.domain.states import CacheUse, HitSource, State
from wherry.service.domain.task import RunId
from wherry.service.domain.usage import Usage
from wherry.service.ports.runs import RunStore

CREATED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PREPARE, TRAIN = StageName("prepare"), StageName("sub/dvc.yaml:train")

# Longer than any test runs: who waits that long was not woken.
FOREVER_S = 120.0


@pytest.fixture(params=["fake", "sqlite_database", "postgres_database"])
def store(request: pytest.FixtureRequest) -> RunStore:
    if request.param == "fake":
        return FakeRunStore()
    return SqlRunStore(request.getfixturevalue(request.param), Random(1))


def new_run(number: int = 1, *, name: str = "", project: str = "iris", user: str = "ada") -> NewRun:
    return NewRun(
        idempotency_key=f"key-{number}",
        name=name,
        project=project,
        user=user,
        rev="0123abc",
        dirty=True,
        message="try more trees",
        created_at=CREATED,
        stages=(TRAIN, PREPARE),
        labels={"team": "vision"},
        priority=-3,
    )


def create(store: RunStore, new: NewRun) -> Run:
    run, is_new = asyncio.run(store.create(new))
    assert is_new
    return run


def test_a_created_run_is_queued_with_its_stages_in_the_order_given(store: RunStore) -> None:
    run = create(store, new_run(name="first"))
    assert (run.name, run.project, run.user, run.rev, run.dirty, run.message, run.created_at) == (
        "first",
        "iris",
        "ada",
        "0123abc",
        True,
        "try more trees",
        CREATED,
    )
    assert (run.labels, run.priority) == ({"team": "vision"}, -3)
    assert run.state is State.QUEUED
    assert list(run.stages.items()) == [
        (TRAIN, StageRecord(name=TRAIN)),
        (PREPARE, StageRecord(name=PREPARE)),
    ]
    assert asyncio.run(store.get(run.id)) == run


def test_the_same_key_of_the_same_user_gives_the_run_that_exists(store: RunStore) -> None:
    first = create(store, new_run(name="first"))
    again, is_new = asyncio.run(store.create(new_run(name="second")))
    assert (again, is_new) == (first, False)
    other = create(store, new_run(name="first", user="bob"))
    assert other.id != first.id


def test_submissions_of_one_key_at_the_same_time_make_one_run(store: RunStore) -> None:
    async def race() -> list[tuple[Run, bool]]:
        return await asyncio.gather(*(store.create(new_run()) for _ in range(20)))

    made = asyncio.run(race())
    assert len({run.id for run, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1


def test_a_run_without_a_name_gets_one_that_no_run_of_the_project_has(store: RunStore) -> None:
    names = [create(store, new_run(number)).name for number in range(300)]
    assert len(set(names)) == 300
    assert all(name.replace("-", "").isalnum() and name.islower() for name in names)


def test_a_run_is_found_by_its_name_the_newest_first(store: RunStore) -> None:
    create(store, new_run(1, name="twice"))
    newer = create(store, new_run(2, name="twice"))
    create(store, new_run(3, name="other"))
    assert asyncio.run(store.get("twice")) == newer


@pytest.mark.parametrize("run", ["999", "no-such-run", "", "9" * 50, "²"])
def test_an_unknown_run_is_refused(store: RunStore, run: str) -> None:
    with pytest.raises(RunUnknown):
        asyncio.run(store.get(run))


def test_a_saved_run_is_kept_whole_but_for_its_stages(store: RunStore) -> None:
    run = create(store, new_run())
    saved = replace(
        run,
        state=State.FAILED,
        started_at=CREATED + timedelta(seconds=1),
        finished_at=CREATED + timedelta(seconds=2.5),
        compute_s=1.25,
        saved_s=0.1,
        error=RunError(reason="STAGE_FAILED", message="train: exit code 1", hint="See its log."),
        write_backs=(
            WriteBack(
                path=ProjectPath("dvc.lock"),
                digest=Digest(BlobHash("0" * 32), 17),
                executable=False,
                submitted_hash="1" * 32,
                kind=WriteBackKind.LOCK,
            ),
        ),
        stages={},
    )
    asyncio.run(store.save_run(saved))
    assert asyncio.run(store.get(run.id)) == replace(saved, stages=run.stages)


def test_saved_stages_are_kept_whole_and_in_their_old_order(store: RunStore) -> None:
    run = create(store, new_run())
    record = StageRecord(
        name=PREPARE,
        state=State.SUCCEEDED,
        cache=CacheUse.HIT,
        key="f" * 64,
        from_run=RunId("3"),
        from_user="bob",
        source=HitSource.RUN,
        attempt=2,
        node="node-1",
        image="sha256:abc",
        exit_code=0,
        reason="dep changed",
        wall_s=1.5,
        deps=(FileRecord(path=ProjectPath("a.py"), hash=BlobHash("2" * 32), size_bytes=3, executable=True),),
        outs=(
            FileRecord(
                path=ProjectPath("data"),
                hash=BlobHash("3" * 32 + ".dir"),
                size_bytes=4,
                nfiles=2,
                kind=OutputKind.METRIC,
                cache=False,
            ),
        ),
        params_json='{"lr": 0.1}',
    )
    asyncio.run(store.save_stages(run.id, [record]))
    kept = asyncio.run(store.get(run.id)).stages
    assert list(kept.items()) == [(TRAIN, StageRecord(name=TRAIN)), (PREPARE, record)]


def test_every_change_is_one_event_numbered_from_one_without_gap(store: RunStore) -> None:
    run = create(store, new_run())
    running = replace(run, state=State.RUNNING, started_at=CREATED)
    train = StageRecord(name=TRAIN, state=State.PREPARING)
    prepare = StageRecord(name=PREPARE, state=State.RUNNING, attempt=1)
    assert asyncio.run(store.events_after(run.id, 0, 10)) == []
    asyncio.run(store.save_run(running))
    asyncio.run(store.save_stages(run.id, [train, prepare]))
    asyncio.run(store.save_stages(run.id, []))
    expected = [
        Event(sequence=1, about=replace(running, stages={})),
        Event(sequence=2, about=train),
        Event(sequence=3, about=prepare),
    ]
    assert asyncio.run(store.events_after(run.id, 0, 10)) == expected
    assert asyncio.run(store.events_after(run.id, 1, 1)) == expected[1:2]
    assert asyncio.run(store.events_after(run.id, 3, 10)) == []


def test_events_of_runs_are_numbered_apart(store: RunStore) -> None:
    one, two = create(store, new_run(1)), create(store, new_run(2))
    asyncio.run(store.save_stages(one.id, [StageRecord(name=TRAIN), StageRecord(name=PREPARE)]))
    asyncio.run(store.save_stages(two.id, [StageRecord(name=TRAIN)]))
    assert [event.sequence for event in asyncio.run(store.events_after(one.id, 0, 10))] == [1, 2]
    assert [event.sequence for event in asyncio.run(store.events_after(two.id, 0, 10))] == [1]
    assert asyncio.run(store.events_after(RunId("999"), 0, 10)) == []


def test_changes_at_the_same_time_still_number_without_gap(store: RunStore) -> None:
    run = create(store, new_run())

    async def change() -> None:
        await asyncio.gather(*(store.save_stages(run.id, [StageRecord(name=TRAIN)]) for _ in range(30)))

    asyncio.run(change())
    kept = asyncio.run(store.events_after(run.id, 0, 100))
    assert [event.sequence for event in kept] == list(range(1, 31))


def test_a_run_in_a_final_state_is_never_changed_again(store: RunStore) -> None:
    run = create(store, new_run())
    cancelled = replace(run, state=State.CANCELLED, finished_at=CREATED)
    asyncio.run(store.save_run(cancelled))
    asyncio.run(store.save_run(replace(run, state=State.SUCCEEDED)))
    assert asyncio.run(store.get(run.id)).state is State.CANCELLED
    assert len(asyncio.run(store.events_after(run.id, 0, 10))) == 1


def test_changes_of_what_is_unknown_are_refused_and_leave_nothing(store: RunStore) -> None:
    run = create(store, new_run())
    with pytest.raises(RunUnknown):
        asyncio.run(store.save_run(replace(run, id=RunId("999"))))
    with pytest.raises(RunUnknown):
        asyncio.run(store.save_stages(RunId("999"), [StageRecord(name=TRAIN)]))
    with pytest.raises(StageUnknown):
        asyncio.run(
            store.save_stages(
                run.id, [StageRecord(name=TRAIN, state=State.RUNNING), StageRecord(name=StageName("none"))]
            )
        )
    assert asyncio.run(store.get(run.id)) == run
    assert asyncio.run(store.events_after(run.id, 0, 10)) == []


def test_pages_are_newest_first_without_stages(store: RunStore) -> None:
    runs = [create(store, new_run(number)) for number in range(5)]
    page = asyncio.run(store.list_page(project=None, active_only=False, before=None, limit=2))
    assert list(page) == [replace(runs[4], stages={}), replace(runs[3], stages={})]
    rest = asyncio.run(store.list_page(project=None, active_only=False, before=page[-1].id, limit=10))
    assert [run.id for run in rest] == [runs[2].id, runs[1].id, runs[0].id]


def test_pages_can_be_of_one_project_and_of_active_runs_only(store: RunStore) -> None:
    done = create(store, new_run(1))
    active = create(store, new_run(2))
    create(store, new_run(3, project="other"))
    asyncio.run(store.save_run(replace(done, state=State.SUCCEEDED)))
    of_project = asyncio.run(store.list_page(project="iris", active_only=False, before=None, limit=10))
    assert [run.id for run in of_project] == [active.id, done.id]
    only_active = asyncio.run(store.list_page(project="iris", active_only=True, before=None, limit=10))
    assert [run.id for run in only_active] == [active.id]


def test_a_page_before_something_that_is_no_id_is_refused(store: RunStore) -> None:
    with pytest.raises(InvalidInput):
        asyncio.run(store.list_page(project=None, active_only=False, before=RunId("x"), limit=10))


def test_active_runs_are_listed_oldest_first_with_stages(store: RunStore) -> None:
    runs = [create(store, new_run(number)) for number in range(3)]
    asyncio.run(store.save_run(replace(runs[1], state=State.LOST)))
    assert list(asyncio.run(store.list_active())) == [runs[0], runs[2]]


def test_waiting_ends_at_once_when_the_event_exists(store: RunStore) -> None:
    run = create(store, new_run())
    asyncio.run(store.save_run(replace(run, state=State.RUNNING)))
    asyncio.run(store.wait_for_events(run.id, 0, FOREVER_S))


def test_all_who_wait_are_woken_by_an_event_of_their_run(store: RunStore) -> None:
    run, other = create(store, new_run(1)), create(store, new_run(2))

    async def wait_and_save() -> set[int]:
        waiting = {
            asyncio.create_task(store.wait_for_events(run.id, sequence, FOREVER_S)): sequence
            for sequence in (0, 0, 1)
        }
        await store.save_stages(other.id, [StageRecord(name=TRAIN)])
        await store.wait_for_events(run.id, 0, 0.0)
        assert not any(task.done() for task in waiting)
        await store.save_stages(run.id, [StageRecord(name=TRAIN)])
        await asyncio.gather(*(task for task, sequence in waiting.items() if sequence == 0))
        late = {sequence for task, sequence in waiting.items() if not task.done()}
        await store.save_run(replace(run, state=State.RUNNING))
        await asyncio.gather(*waiting)
        return late

    assert asyncio.run(wait_and_save()) == {1}


def test_waiting_ends_when_time_is_up(store: RunStore) -> None:
    run = create(store, new_run())
    asyncio.run(store.wait_for_events(run.id, 0, 0.01))
    assert asyncio.run(store.events_after(run.id, 0, 10)) == []


def test_a_request_to_stop_is_kept_whatever_is_saved_later(store: RunStore) -> None:
    run, other = create(store, new_run(1)), create(store, new_run(2))
    asyncio.run(store.request_stop(run.id))
    asyncio.run(store.save_run(replace(run, state=State.RUNNING)))
    asked = {active.id: active.stop_requested for active in asyncio.run(store.list_active())}
    assert asked == {run.id: True, other.id: False}


def test_runs_that_are_to_stop_are_listed_until_they_have_ended(store: RunStore) -> None:
    run, _ = create(store, new_run(1)), create(store, new_run(2))
    asyncio.run(store.request_stop(run.id))
    assert asyncio.run(store.list_stopping()) == [run.id]
    asyncio.run(store.save_run(replace(run, state=State.CANCELLED)))
    assert asyncio.run(store.list_stopping()) == []


def test_what_a_run_was_submitted_with_is_kept_with_the_run(database: Database) -> None:
    store, submissions = SqlRunStore(database, Random(1)), SqlSubmissionStore(database)
    content = bytes(range(256)) * 100
    tool = Image(name="tool:1", digest="tool@sha256:aa", platform="linux/amd64")
    images = (NamedImage(policy=PullPolicy.ALWAYS, image=tool),)
    run, _ = asyncio.run(store.create(replace(new_run(1), content=content, images=images)))
    again, is_new = asyncio.run(store.create(replace(new_run(1), content=b"other")))
    without, _ = asyncio.run(store.create(new_run(2)))

    assert (again.id, is_new) == (run.id, False)
    assert asyncio.run(submissions.find(run.id)) == content
    assert asyncio.run(submissions.find_images(run.id)) == images
    assert asyncio.run(submissions.find(without.id)) is None
    assert asyncio.run(submissions.find_images(without.id)) == ()


def test_what_is_told_of_a_change_is_what_is_read_of_it_later(database: Database) -> None:
    writer = SqlRunStore(database, Random(1))
    run, _ = asyncio.run(writer.create(replace(new_run(), snapshot="5" * 32)))
    wherever = timezone(timedelta(hours=2))
    known = StageRecord(
        name=TRAIN,
        state=State.SUCCEEDED,
        cache=CacheUse.HIT,
        from_run=RunId("3"),
        usage=Usage(peak_memory_bytes=4096, cpu_s=0.5),
        earlier=(EndedAttempt(reason="exit code 1", exit_code=1, wall_s=0.25, usage=Usage(read_bytes=1)),),
        outs=(FileRecord(path=ProjectPath("m"), hash=BlobHash("4" * 32), size_bytes=1),),
        since=CREATED.astimezone(wherever),
    )
    started = replace(run, state=State.RUNNING, started_at=CREATED.astimezone(wherever), stop_requested=True)
    asyncio.run(writer.save_run(started))
    asyncio.run(writer.save_stages(run.id, [known, replace(known, name=PREPARE)]))

    told = asyncio.run(writer.events_after(run.id, 0, 10))
    reader = SqlRunStore(database, Random(2))
    assert len(told) == 3
    assert told == asyncio.run(reader.events_after(run.id, 0, 10))


def test_a_service_lists_its_own_runs_and_those_of_nobody(database: Database) -> None:
    north, south, nobody = (
        SqlRunStore(database, Random(number), owner=owner)
        for number, owner in enumerate(["north", "south", ""])
    )
    runs = [
        asyncio.run(store.create(new_run(number)))[0].id
        for number, store in enumerate([north, south, nobody])
    ]
    assert [run.id for run in asyncio.run(north.list_active())] == [runs[0], runs[2]]
