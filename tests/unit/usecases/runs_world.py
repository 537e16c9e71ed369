"""Services that share a database and a store, the people who use them, and what must always be true of their runs."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.event_log import FakeEventLog
from tests.fakes.leases import FakeLeases
from tests.fakes.log_store import FakeLogStore
from tests.fakes.logs_to_keep import FakeLogsToKeep
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.pack_index import FakePackIndex
from tests.fakes.passed_output import FakePassedOutput
from tests.fakes.run_store import FakeRunStore
from tests.fakes.virtual_time import LoopClock
from tests.unit.usecases.driving import Counting
from tests.unit.usecases.runs_life import Life
from tests.unit.usecases.runs_machine import (
    FakeContainer,
    FakeEngine,
    FakeNode,
    FakeWorkspaces,
)
from tests.unit.usecases.runs_output import check_output
from tests.unit.usecases.runs_ports import Site
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.domain.blob import object_key
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import Unavailable
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.run import Event, Run, StageRecord
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.states import State
from wherry.service.domain.submission import Needs, RunOptions, Submission
from wherry.service.domain.task import LogName, RunId, StrictKey
from wherry.service.ports.clock import Identities
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.logs import LogLine
from wherry.service.ports.run_cache import Result
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project, ReadProject
from wherry.service.usecases.set_params import SetParams

SPLIT = """\
stages:
  a: {cmd: a, deps: [seed], outs: [x]}
  b: {cmd: b, deps: [x], outs: [y]}
  c: {cmd: c, deps: [x], outs: [z]}
"""
# The first stage is the same; the second may fail once; the third runs for its effect.
CHAIN = """\
stages:
  a: {cmd: a, deps: [seed], outs: [x]}
  d: {cmd: d, deps: [x], outs: [w], meta: {wherry: {retries: 1}}}
  e: {cmd: e, deps: [w], outs: [v], always_changed: true}
"""
PIPELINES = (SPLIT, CHAIN)

# Longer than anything is waited for before a stage is lost, and than a lease lives.
PATIENCE_S = 200.0


@dataclass(eq=False)
class Person:
    """Somebody who submits a run and watches it, whatever happens to the service."""

    number: int
    content: bytes
    run_id: RunId | None = None
    events: list[Event] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    shown: dict[StageName, list[LogLine]] = field(default_factory=dict)
    """What they are shown of each stage when all is over."""
    final: Run | None = None
    was_stopped: bool = False
    """Whether the service said that it keeps the request."""
    working: list["asyncio.Task[None]"] = field(default_factory=list)


class World:
    """All that there is. Use it within one virtual loop."""

    def __init__(self, folder: Path, owners: tuple[str, ...], seed: int) -> None:
        self.folder, self.chance, self.clock = folder, Random(seed), LoopClock()
        self.log: EventLog = FakeEventLog()
        self.runs, self.leases, self.index = FakeRunStore(), FakeLeases(), FakeBlobIndex()
        self.passed = FakePassedOutput(self.leases)
        self.owners, self.contents = dict[RunId, str](), dict[RunId, bytes]()
        self.results: dict[Any, Result] = {}
        self.objects, self.archived = FakeObjectStore(), dict[LogName, list[LogLine]]()
        self.identities: Identities = Counting()
        self.is_closing = False
        self.digest = 0
        self.people: list[Person] = []
        self.ended_at = self.clock.now()
        self.was_away = False
        """Whether something was away for longer than it is waited for."""
        self.problems: list[BaseException] = []
        self._past: list[Life] = []
        self._numbers = itertools.count(1)
        self._away_since: dict[tuple[str, str], float] = {}
        self._projects: list[Project] = []
        self.sites = {owner: self._site(owner) for owner in owners}
        self.lives: dict[str, Life | None] = dict.fromkeys(owners)

    def _site(self, owner: str) -> Site:
        site = Site(owner, FakeEngine(), FakeWorkspaces(self.folder), FakeLogStore(), FakeLogsToKeep(), set())
        site.engine.when_started = partial(self._check_start, owner)
        return site

    async def begin(self) -> None:
        """Read the projects and start the services."""
        for pipeline in PIPELINES:
            self._projects.append(await self._project(pipeline))
        for owner in self.lives:
            await self.start(owner)

    async def _project(self, pipeline: str) -> Project:
        node = FakeNode(self.objects, self.folder)
        put, read = (
            PutBlobs(objects=self.objects, index=self.index, node=node, spool=self.folder),
            ReadBlobs(node),
        )
        sources = FindSources(index=self.index, packs=FakePackIndex(self.index))
        files = {}
        for path, text in {"dvc.yaml": pipeline, "seed": "1"}.items():
            digest = await put.put_content(text.encode())
            files[ProjectPath(path)] = SnapshotFile(hash=digest.hash, size_bytes=digest.size_bytes)
        set_params = SetParams(put=put, read=read, composer=HydraParamComposer(at_once=1))
        submission = Submission(project="p", user="", snapshot=Snapshot(files=files, data={}))
        project = await ReadProject(sources=sources, read=read, set_params=set_params)(submission)
        assert not isinstance(project, Needs)
        return project

    def open(self, content: bytes) -> tuple[Project, RunOptions]:
        """What a submission says."""
        said = json.loads(content)
        project = self._projects[said["pipeline"]]
        submission = replace(project.submission, user=said["user"], rev=content.decode())
        options = RunOptions(force=said["force"], keep_going=said["keep_going"], jobs=said["jobs"])
        return replace(project, submission=submission), options

    def image(self) -> Image:
        return Image(name="i", digest=f"sha256:{self.digest}", platform="linux/amd64")

    # What happens.

    async def start(self, owner: str) -> None:
        """Start a service; it may not come up."""
        life = Life(self, self.sites[owner])
        self._past.append(life)
        try:
            await life.start()
        except Unavailable:
            life.kill()
        else:
            self.lives[owner] = life

    def kill(self, owner: str) -> None:
        life = self.lives[owner]
        if life is not None:
            life.kill()
        self.lives[owner] = None

    def go_away(self, owner: str, kind: str) -> None:
        for one in self.sites.values() if kind != "engine" else [self.sites[owner]]:
            one.down.add(kind)
            self._away_since.setdefault((one.owner, kind), asyncio.get_running_loop().time())
            if kind == "engine":
                one.engine.break_off()

    def come_back(self, owner: str, kind: str) -> None:
        for one in self.sites.values() if kind != "engine" else [self.sites[owner]]:
            one.down.discard(kind)
            since = self._away_since.pop((one.owner, kind), None)
            if since is not None and asyncio.get_running_loop().time() - since > PATIENCE_S:
                self.was_away = True

    async def submit(self, owner: str, **said: object) -> None:
        number = next(self._numbers)
        person = Person(number, json.dumps({**said, "user": f"user{number % 3}"}).encode())
        self.people.append(person)
        person.working.append(asyncio.create_task(self._told(self._live(person, owner))))

    async def _live(self, person: Person, owner: str) -> None:
        async def submit(life: Life) -> None:
            project, options = self.open(person.content)
            accepted = await life.submit(
                project.submission, options, idempotency_key=str(person.number), content=person.content
            )
            assert not isinstance(accepted, Needs)
            person.run_id = accepted.run.id

        await self._persist(owner, submit)
        lines = asyncio.create_task(self._told(self._persist(owner, partial(self._read_lines, person))))
        person.working.append(lines)
        await self._persist(owner, partial(self._watch, person))

    async def _watch(self, person: Person, life: Life) -> None:
        assert person.run_id is not None
        async for events in life.follow.events(person.run_id, after=len(person.events), wait_s=30):
            for event in events:
                person.events.append(event)
                assert event.sequence == len(person.events), "events have gaps or come twice"
                assert person.final is None, "a run went on after its end"
                if isinstance(event.about, Run) and event.about.state.is_final:
                    person.final = event.about
        if person.final is None:
            raise Unavailable("it goes on")

    async def _read_lines(self, person: Person, life: Life) -> None:
        assert person.run_id is not None
        after = person.lines[-1].sequence if person.lines else 0
        async for page in life.follow.lines(person.run_id, stage=None, after=after, follow=True, wait_s=30):
            person.lines += page.lines
            if page.is_last:
                return
        raise Unavailable("it goes on")

    async def stop(self, person: Person, owner: str) -> None:
        async def stop(life: Life) -> None:
            assert person.run_id is not None
            await life.stop(person.run_id)

        async def stopped() -> None:
            await self._persist(owner, stop)
            person.was_stopped = True

        person.working.append(asyncio.create_task(self._told(stopped())))

    async def _persist(self, owner: str, call: Callable[[Life], Any]) -> None:
        """Ask a service until it answers."""
        while True:
            life = self.lives[owner]
            if life is not None and not life.is_dead:
                asking = asyncio.ensure_future(call(life))
                await asyncio.wait({asking, life.death}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    with contextlib.suppress(Unavailable):
                        asking.result()
                        return
            await asyncio.sleep(1)

    async def _told(self, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001 - told by the invariant
            self.problems.append(exc)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for owner, life in self.lives.items():
            if life is not None and life.is_dead:
                self.lives[owner] = None

    # What must be true.

    def _check_start(self, owner: str, container: FakeContainer) -> None:
        """Nothing is executed twice while its lease lives."""
        if not container.is_shared:
            return
        lease = self.leases.standing.get(StrictKey(container.key))
        if lease is None or lease.owner != owner:
            # It may have been unable to say that it lives.
            if not self._database_was_away:
                self.problems.append(AssertionError("executed without the lease"))
            return
        for other in self.sites[owner].engine.containers.values():
            if other is not container and other.key == container.key and other.is_shared and other.is_running:
                self.problems.append(AssertionError(f"{container.stage} is executed twice"))

    @property
    def _database_was_away(self) -> bool:
        return self.was_away or any(kind == "database" for _, kind in self._away_since)

    def check(self) -> None:
        """What is true at any time."""
        for problem in self.problems:
            raise problem
        for result in self.results.values():
            for out in result.entry.outs:
                assert out.hash in self.index.records, "a result without its blobs"
                assert object_key(out.hash) in self.objects.objects
        for run_id, events in self.runs.events.items():
            self._check_events(run_id, events)

    def _check_events(self, run_id: RunId, events: list[Event]) -> None:
        ended: dict[str, StageRecord] = {}
        run_ended = False
        for event in events:
            assert not run_ended, f"run {run_id} changed after its end"
            if isinstance(event.about, Run):
                run_ended = event.about.state.is_final
                continue
            name = event.about.name
            assert name not in ended, (
                f"{name} of run {run_id} was {ended[name].state}, then {event.about.state}"
            )
            if event.about.state.is_final:
                ended[name] = event.about
        for record in ended.values():
            self._check_end(run_id, record)

    def _check_end(self, run_id: RunId, record: StageRecord) -> None:
        where = f"{record.name} of run {run_id}"
        if record.state is State.SUCCEEDED:
            for out in record.outs:
                assert out.hash in self.index.records, f"{where} lost what it made"
        elif record.state is State.LOST:
            assert self.was_away, f"{where} was lost for nothing: {record.reason}"
        elif record.state is State.FAILED:
            assert record.exit_code == 1, f"{where} was blamed: {record.reason}"

    def check_end(self) -> None:
        """What is true when all is over."""
        self.check()
        for person in self.people:
            assert person.final is not None, f"run {person.run_id} never ended, or nobody was told"
            assert all(task.done() for task in person.working), f"run {person.run_id}: somebody still waits"
            assert person.run_id is not None
            assert person.events == self.runs.events[person.run_id]
            self._check_lines(person, self.runs.runs[person.run_id])
        for site in self.sites.values():
            assert not site.engine.containers, "containers are left"
            assert not site.workspaces.attempts, "workspaces are left"
            assert not site.noted.noted, "outputs of results are not kept"
        for result in self.results.values():
            assert result.log in self.archived, "a result without its output"
        for lease in self.leases.standing.values():
            assert lease.failure is not None or lease.expires_at < self.ended_at, "a lease is held for nobody"

    def _check_lines(self, person: Person, run: Run) -> None:
        assert [line.sequence for line in person.lines] == list(range(1, len(person.lines) + 1))
        site = self.sites[self.owners[run.id]]
        assert [line.line for line in person.lines] == site.logs.lines[run.id]
        every = [one for site in self.sites.values() for one in site.engine.past]
        check_output(run, person.shown, every)

    async def finish(self) -> None:
        """No more faults, and time enough."""
        for owner, site in self.sites.items():
            for kind in list(site.down):
                self.come_back(owner, kind)
            site.engine.failing.clear()
        for life in self._past:
            life.calls_left = None
        await self.pass_time(1)
        for owner in self.lives:
            if self.lives[owner] is None:
                await self.start(owner)
        for _ in range(100):
            await self.pass_time(30)
            if all(task.done() for person in self.people for task in person.working):
                break
        await self.pass_time(45)
        self.ended_at = self.clock.now()
        for person in self.people:
            await self._look_at_output(person)

    async def _look_at_output(self, person: Person) -> None:
        if person.run_id is None:
            return
        life, run = self.lives[self.owners[person.run_id]], self.runs.runs[person.run_id]
        assert life is not None
        for name in run.stages:
            pages = life.follow.lines(run.id, stage=name, after=0, follow=False)
            person.shown[name] = [line async for page in pages for line in page.lines]

    async def close(self) -> None:
        self.is_closing = True
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
