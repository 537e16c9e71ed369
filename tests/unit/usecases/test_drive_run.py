"""Driving a run: order, parallelism, failure, stopping; with a runner that does what the test says."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.clock import FakeClock
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.run_cache import FakeRunCache
from tests.fakes.run_store import FakeRunStore
from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.domain.blob import digest_content, object_key
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.run import NewRun, Run
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.submission import Needs, RunOptions, Submission
from wherry.service.domain.task import AttemptId, Failed, Image, Outcome, StageTask, Succeeded, Vanished
from wherry.service.ports.clock import Identities
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.attempt_stage import AttemptStage
from wherry.service.usecases.caching_runner import CachingStageRunner
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.find_vanished import FindVanished
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import ReadProject
from wherry.service.usecases.resolve_stage import ResolveStage, open_state
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.set_params import SetParams
from wherry.service.usecases.write_backs import WriteBacks

DIAMOND = """\
stages:
  top: {cmd: make top, deps: [a], outs: [t]}
  left: {cmd: make left, deps: [t], outs: [l]}
  right: {cmd: make right, deps: [t], outs: [r]}
  bottom: {cmd: make bottom, deps: [l, r], outs: [b]}
"""

Behaviour = Callable[[StageTask], Awaitable[Outcome]]


async def succeed(task: StageTask) -> Outcome:
    """Every output is the name of the stage."""
    digest = digest_content(task.stage.name.encode())
    outs = tuple(FileEntry(path=out.path, hash=digest.hash, size_bytes=1) for out in task.stage.outs)
    entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
    return Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=1.0)


async def fail(_task: StageTask) -> Outcome:
    return Failed(reason="exited with 1", exit_code=1, wall_s=1.0)


class ScriptedRunner(StageRunner):
    """Does for each stage what the test says; remembers the order."""

    def __init__(self, behaviours: dict[str, Behaviour]) -> None:
        self.behaviours = behaviours
        self.started: list[str] = []
        self.reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        self.started.append(task.stage.name)
        await observer.entered(State.RUNNING)
        self.reached[task.stage.name].set()
        return await self.behaviours.get(task.stage.name, succeed)(task)


class Counting(Identities):
    """1, 2, 3 …"""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_attempt_id(self) -> AttemptId:
        return AttemptId(str(next(self._numbers)))


class RaisingLog(EventLog):
    """Remembers what went wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        """Not looked at."""

    def warning(self, event: str, **fields: object) -> None:
        self.problems.append(event)

    def exception(self, event: str, **fields: object) -> None:
        self.problems.append(event)


class House:
    """A driver with all it needs."""

    def __init__(self, tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
        self.runner = ScriptedRunner(behaviours)
        self.runs, self.log, clock = FakeRunStore(), RaisingLog(), FakeClock()
        index, objects = FakeBlobIndex(), FakeObjectStore()
        self.index, self.objects = index, objects
        self.node = LocalNodeCache(tmp_path / "node", store=objects)
        self.logs = FileLogStore(tmp_path / "logs")
        self.put = PutBlobs(objects=objects, index=index, node=self.node, spool=tmp_path)
        read = ReadBlobs(self.node)
        adopt, cache = AdoptBlobs(index=index, objects=objects, read=read), FakeRunCache()
        dvc = FindDvcResult(objects=objects, index=index, adopt=adopt, read=read)
        find = FindResult(cache=cache, index=index, adopt=adopt, dvc=dvc)
        legacy = FindLegacyHashes(index=index, read=read, node=self.node)
        self.read_project = ReadProject(
            put=self.put,
            read=read,
            set_params=SetParams(put=self.put, read=read, composer=HydraParamComposer(at_once=1)),
        )
        self.clock = clock
        self.driver = DriveRun(
            attempt=RestoreInputs(
                attempt=AttemptStage(
                    resolve=ResolveStage(index=index, read=read, legacy=legacy, network=True),
                    find=find,
                    logs=self.logs,
                    clock=clock,
                    identities=Counting(),
                    note_use=NoteUse(index=index, log=self.log),
                    node="here",
                ),
                find_vanished=FindVanished(
                    adopt=adopt,
                    forget=ForgetBlobs(objects=objects, index=index),
                    index=index,
                    read=read,
                    log=self.log,
                ),
            ),
            runner_for=lambda _jobs: CachingStageRunner(
                self.runner, find=find, cache=cache, objects=objects, clock=clock
            ),
            runs=self.runs,
            write_backs=WriteBacks(
                put=self.put,
                index=index,
                legacy=legacy,
                publish=PublishLegacy(objects=objects, index=index, read=read, legacy=legacy, log=self.log),
            ),
            clock=clock,
            log=self.log,
        )

    async def start(self, files: dict[str, str], options: RunOptions = RunOptions()) -> Run:  # noqa: B008 - frozen
        entries = {}
        for path, text in files.items():
            digest = await self.put.put_content(text.encode())
            entries[ProjectPath(path)] = SnapshotFile(hash=digest.hash, size_bytes=digest.size_bytes)
        submission = Submission(project="p", user="ana", snapshot=Snapshot(files=entries, data={}))
        project = await self.read_project(submission)
        assert not isinstance(project, Needs)
        image = Image(name="i", digest="sha256:0", platform="linux/amd64")
        state = open_state(project, {}, {stage.name: image for stage in project.stages}, IgnoreRules({}))
        new = NewRun(
            idempotency_key=str(len(self.runs.runs)),
            name="",
            project="p",
            user="ana",
            rev="",
            dirty=False,
            message="",
            created_at=self.clock.now(),
            stages=tuple(stage.name for stage in project.stages),
        )
        run, _ = await self.runs.create(new)
        self.driver.start(run, state, options)
        return run

    async def end_of(self, run: Run) -> Run:
        seen = 0
        while not (now := await self.runs.get(run.id)).state.is_final:
            await self.runs.wait_for_events(run.id, seen, 10)
            seen = self.runs.events[run.id][-1].sequence
        return now

    async def until_started(self, *names: str) -> None:
        async with asyncio.timeout(10):
            for name in names:
                await self.runner.reached[name].wait()


def drive(
    tmp_path: Path, behaviours: dict[str, Behaviour], check: Callable[[House], Awaitable[None]]
) -> None:
    async def main() -> None:
        house = House(tmp_path, behaviours)
        try:
            await check(house)
        finally:
            await house.driver.close()
            house.node.close()
            house.logs.close()

    asyncio.run(main())


def states(run: Run) -> dict[str, State]:
    return {name: stage.state for name, stage in run.stages.items()}


FILES = {"dvc.yaml": DIAMOND, "a": "1"}
ONLY_TOP = {"dvc.yaml": "stages:\n  top: {cmd: make top, deps: [a], outs: [t]}\n", "a": "1"}
TOP = object_key(digest_content(b"top").hash)


def test_a_stage_starts_after_all_that_it_stands_on_and_branches_run_side_by_side(tmp_path: Path) -> None:
    both_run = asyncio.Barrier(2)

    async def meet(task: StageTask) -> Outcome:
        async with asyncio.timeout(10):
            await both_run.wait()
        return await succeed(task)

    async def check(house: House) -> None:
        run = await house.end_of(await house.start(FILES))

        assert run.state == State.SUCCEEDED
        assert (house.runner.started[0], house.runner.started[-1]) == ("top", "bottom")
        assert run.compute_s == 4.0
        assert [item.path for item in run.write_backs] == ["dvc.lock"]

    drive(tmp_path, {"left": meet, "right": meet}, check)


@pytest.mark.parametrize("keep_going", [True, False])
def test_after_a_failure_only_keep_going_starts_more(tmp_path: Path, keep_going: bool) -> None:
    files = {**FILES, "dvc.yaml": DIAMOND + "  apart: {cmd: make apart, deps: [a], outs: [x]}\n"}
    failed = asyncio.Event()

    async def fail_first(task: StageTask) -> Outcome:
        failed.set()
        return await fail(task)

    async def after_the_failure(task: StageTask) -> Outcome:
        await failed.wait()
        return await succeed(task)

    async def check(house: House) -> None:
        run = await house.end_of(await house.start(files, RunOptions(keep_going=keep_going)))

        assert run.state == State.FAILED
        assert run.error is not None
        assert run.error.reason == "STAGE_FAILED"
        expected: dict[str, State] = dict.fromkeys(("left", "right", "bottom"), State.SKIPPED)
        assert states(run) == {"top": State.FAILED, "apart": State.SUCCEEDED, **expected}

    drive(tmp_path, {"top": fail_first, "apart": after_the_failure}, check)


def test_what_was_not_started_is_skipped_with_the_reason(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        run = await house.end_of(await house.start(FILES))

        assert states(run)["bottom"] == State.SKIPPED
        assert "left" in run.stages[StageName("bottom")].reason

    drive(tmp_path, {"left": fail}, check)


def test_a_cancelled_run_stops_its_stages_and_keeps_what_was_done(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def hang(_task: StageTask) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.start(FILES)
        await house.until_started("left", "right")

        assert house.driver.cancel(run.id)
        ended = await house.end_of(run)

        assert stopped.is_set()
        assert ended.state == State.CANCELLED
        assert ended.error is not None
        assert ended.error.reason == "CANCELLED"
        assert states(ended) == {
            "top": State.SUCCEEDED,
            "left": State.CANCELLED,
            "right": State.CANCELLED,
            "bottom": State.CANCELLED,
        }
        assert [item.path for item in ended.write_backs] == ["dvc.lock"]

    drive(tmp_path, {"left": hang, "right": hang}, check)


def test_a_service_that_stops_loses_its_runs(tmp_path: Path) -> None:
    async def hang(_task: StageTask) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.start(FILES)
        await house.until_started("top")

        await house.driver.close()
        ended = await house.runs.get(run.id)

        assert ended.state == State.LOST
        assert ended.error is not None
        assert ended.error.reason == "SERVICE_STOPPED"

    drive(tmp_path, {"top": hang}, check)


def test_a_bug_ends_one_run_and_no_other(tmp_path: Path) -> None:
    async def break_down(_task: StageTask) -> Outcome:
        raise ZeroDivisionError

    async def check(house: House) -> None:
        broken = await house.end_of(await house.start(FILES))
        house.runner.behaviours = {}
        sound = await house.end_of(await house.start(FILES))

        assert (broken.state, sound.state) == (State.LOST, State.SUCCEEDED)
        assert broken.error is not None
        assert broken.error.reason == "INTERNAL"
        assert house.log.problems == ["run failed unexpectedly"]

    drive(tmp_path, {"top": break_down}, check)


def lock_of(stage: str, outs: Sequence[str]) -> str:
    blob = digest_content(stage.encode())
    lines = [f"    - path: {out}\n      hash: md5\n      md5: {blob.hash}\n      size: 1\n" for out in outs]
    return f"schema: '2.0'\nstages:\n  {stage}:\n    cmd: make {stage}\n    outs:\n{''.join(lines)}"


@pytest.mark.parametrize(
    ("flags", "held", "state", "ran"),
    [
        pytest.param("", True, State.SUCCEEDED, False, id="a stage without inputs is believed to dvc.lock"),
        pytest.param("", False, State.SUCCEEDED, True, id="unless the store lacks its outputs"),
        pytest.param(", always_changed: true", True, State.SUCCEEDED, True, id="or it always runs"),
        pytest.param(", frozen: true", True, State.SUCCEEDED, False, id="a frozen stage never runs"),
        pytest.param(", frozen: true", False, State.FAILED, False, id="not even when its outputs are lost"),
    ],
)
def test_what_dvc_lock_says_counts_where_nothing_else_can(
    tmp_path: Path,
    flags: str,
    held: bool,
    state: State,
    ran: bool,
) -> None:
    files = {
        "dvc.yaml": f"stages:\n  only: {{cmd: make only, outs: [o]{flags}}}\n",
        "dvc.lock": lock_of("only", ["o"]),
    }

    async def check(house: House) -> None:
        if held:
            await house.put.put_content(b"only")
        run = await house.end_of(await house.start(files))

        assert run.state == state
        assert house.runner.started == (["only"] if ran else [])

    drive(tmp_path, {}, check)


class Keeping:
    """Stages whose outputs reach the bucket, and that miss what is not there."""

    def __init__(self, house: House) -> None:
        self.house = house
        house.runner.behaviours = dict.fromkeys(("top", "left", "right", "bottom"), self)
        self.content: dict[str, list[str]] = {}
        """What a stage makes, one after the other, in place of its name."""

    async def __call__(self, task: StageTask) -> Outcome:
        inputs = [data.hash for data in task.data] + [file.hash for file in task.files.values()]
        for blob in inputs:
            if object_key(blob) not in self.house.objects.objects:
                return Vanished(reason=f"the store does not hold {blob}")
        name = task.stage.name
        content = (self.content.get(name) or [name]).pop(0).encode()
        digest = digest_content(content)
        await self.house.objects.put(object_key(digest.hash), content)
        await self.house.put.put_content(content)
        outs = tuple(FileEntry(path=out.path, hash=digest.hash, size_bytes=1) for out in task.stage.outs)
        entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
        return Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=1.0)


def test_two_that_miss_an_input_at_once_have_it_made_again_once(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        keep, both = Keeping(house), asyncio.Barrier(2)
        await house.end_of(await house.start(ONLY_TOP))
        await house.objects.delete(TOP)
        house.runner.started.clear()

        async def meet(task: StageTask) -> Outcome:
            outcome = await keep(task)
            if isinstance(outcome, Vanished):
                async with asyncio.timeout(10):
                    await both.wait()
            return outcome

        house.runner.behaviours |= {"left": meet, "right": meet}
        run = await house.end_of(await house.start(FILES))

        assert run.state == State.SUCCEEDED
        assert sorted(house.runner.started) == ["bottom", "left", "left", "right", "right", "top"]
        assert run.stages[StageName("top")].cache == CacheUse.MISS
        assert TOP in house.objects.objects
        assert house.log.problems == ["blobs have gone from the bucket"]

    drive(tmp_path, {}, check)


def test_who_has_read_what_came_out_otherwise_reads_it_again(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        keep, left_done = Keeping(house), asyncio.Event()
        await house.end_of(await house.start(ONLY_TOP))
        keep.content["top"] = ["top, otherwise"]
        house.runner.started.clear()

        async def first(task: StageTask) -> Outcome:
            outcome = await keep(task)
            await house.objects.delete(TOP)
            left_done.set()
            return outcome

        async def second(task: StageTask) -> Outcome:
            await left_done.wait()
            return await keep(task)

        house.runner.behaviours |= {"left": first, "right": second}
        run = await house.end_of(await house.start(FILES))

        assert run.state == State.SUCCEEDED
        made = {name: [out.hash for out in run.stages[StageName(name)].outs] for name in ("top",)}
        assert made["top"] == [digest_content(b"top, otherwise").hash]
        for reader in ("left", "right"):
            assert [dep.hash for dep in run.stages[StageName(reader)].deps] == made["top"]
        assert house.runner.started.count("left") == 2

    drive(tmp_path, {}, check)


def test_what_goes_again_and_again_ends_the_run(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        keep = Keeping(house)
        await house.end_of(await house.start(ONLY_TOP))
        house.runner.started.clear()

        async def lose_input(task: StageTask) -> Outcome:
            await house.objects.delete(TOP)
            return await keep(task)

        house.runner.behaviours |= {"left": lose_input, "right": lose_input}
        async with asyncio.timeout(20):
            run = await house.end_of(await house.start(FILES))

        assert run.state == State.LOST
        assert house.runner.started.count("top") == 2
        assert run.error is not None
        assert "'top' made it anew 2 times" in run.error.message

    drive(tmp_path, {}, check)


def test_what_no_stage_makes_must_be_submitted_again(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        Keeping(house)
        source = digest_content(b"1").hash

        async def lose_input(task: StageTask) -> Outcome:
            await house.objects.delete(object_key(source))
            return Vanished(reason="gone")

        house.runner.behaviours["top"] = lose_input
        run = await house.end_of(await house.start(FILES))

        assert states(run)["top"] == State.LOST
        assert "no longer has a, a file of the project: submit again" in run.stages[StageName("top")].reason
        assert await house.index.find_missing([source]) == {source}

    drive(tmp_path, {}, check)
