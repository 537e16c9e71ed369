"""The StageRunners, one around the other: their order is chosen here."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from wherry.service.adapters.faults_kill import KillAt
from wherry.service.adapters.traces_docker import SERVICE_LABEL
from wherry.service.config import Settings
from wherry.service.domain.resources import Machine
from wherry.service.domain.run import Run
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import AttemptId, RunId
from wherry.service.ports.clock import Clock, Identities
from wherry.service.ports.containers import ContainerEngine
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.faults import Faults
from wherry.service.ports.leases import Leases
from wherry.service.ports.logs import LogStore
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.passed_output import PassedOutput
from wherry.service.ports.run_cache import RunCache
from wherry.service.ports.secrets import SecretStore
from wherry.service.ports.stages import StageRunner
from wherry.service.ports.workspaces import Workspaces
from wherry.service.usecases.adopting_runner import AdoptingStageRunner
from wherry.service.usecases.caching_runner import CachingStageRunner
from wherry.service.usecases.container_runner import ContainerStageRunner
from wherry.service.usecases.disk_limit import DiskLimit
from wherry.service.usecases.drive_run import RunnerMaker
from wherry.service.usecases.explaining_runner import ExplainingStageRunner
from wherry.service.usecases.faulty_runner import FaultyStageRunner
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.hold_lease import HoldLease
from wherry.service.usecases.image_runner import ImageStageRunner
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.known_runner import KnownStageRunner
from wherry.service.usecases.leftovers import Leftovers
from wherry.service.usecases.logged_runner import LoggedStageRunner
from wherry.service.usecases.merging_runner import Flights, MergingStageRunner
from wherry.service.usecases.patient_runner import PatientStageRunner
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.rank_stages import RankStages
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.ready_images import ReadyImages
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.retrying_runner import RetryingStageRunner
from wherry.service.usecases.run_container import RunContainer
from wherry.service.usecases.scheduled_runner import Places, ScheduledStageRunner
from wherry.service.usecases.tidying_runner import TidyingStageRunner


class RunnerPorts(Protocol):
    """What the runners need of the adapters."""

    @property
    def engine(self) -> ContainerEngine:
        """Where containers run."""
        ...

    @property
    def workspaces(self) -> Workspaces:
        """Where they find their files."""
        ...

    @property
    def images(self) -> ReadyImages:
        """What they are made of."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """Where results go for stock DVC."""
        ...

    @property
    def secrets(self) -> SecretStore:
        """What stages may be told."""
        ...

    @property
    def logs(self) -> LogStore:
        """Where output is kept."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """What containers of this service carry."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerParts:
    """What the runners are made of, beside the adapters."""

    leases: Leases
    passed: PassedOutput
    cache: RunCache
    find: FindResult
    put: PutBlobs
    keep_logs: KeepLogs
    clock: Clock
    identities: Identities
    log: EventLog


class Runners(RunnerMaker):
    """Makes runs their runners, and has what all of them share."""

    def __init__(self, settings: Settings, parts: RunnerPorts, machine: Machine, made: RunnerParts) -> None:
        """Let stages share `machine`."""
        self._parts = parts
        self._made = made
        self.remains = Remains(
            engine=parts.engine, workspaces=parts.workspaces, clock=made.clock, log=made.log
        )
        self.leftovers = Leftovers(
            engine=parts.engine,
            workspaces=parts.workspaces,
            log=made.log,
            labels={SERVICE_LABEL: parts.labels[SERVICE_LABEL]},
        )
        uid, gid = settings.stage_user
        self._container = ContainerStageRunner(
            run_container=RunContainer(
                engine=parts.engine,
                clock=made.clock,
                disk=DiskLimit(
                    engine=parts.engine,
                    workspaces=parts.workspaces,
                    clock=made.clock,
                    free_bytes=lambda: shutil.disk_usage(settings.home).free,
                    bytes_max=None if settings.workspace_gb is None else int(settings.workspace_gb * 10**9),
                ),
                remains=self.remains,
            ),
            workspaces=parts.workspaces,
            put=made.put,
            secrets=parts.secrets,
            clock=made.clock,
            user=f"{uid}:{gid}",
            labels=dict(parts.labels),
            remains=self.remains,
        )
        self._faults: Faults | None = KillAt(settings.fault_at) if settings.fault_at else None
        self._places = Places(machine, at_once=settings.jobs)
        self._flights = Flights()
        self._lease = HoldLease(
            leases=made.leases,
            passed=made.passed,
            find=made.find,
            clock=made.clock,
            identities=made.identities,
            log=made.log,
            owner=parts.labels[SERVICE_LABEL],
        )

    @property
    def going(self) -> set[AttemptId]:
        """Attempts that have, or may have, a container or a workspace now."""
        return self.remains.attempts | self.leftovers.attempts

    async def cleared(self, run_id: RunId) -> None:
        """Return when nothing is left on the machine of the run's stages."""
        await self.remains.cleared(run_id)

    def for_run(self, run: Run, project: Project, options: RunOptions) -> StageRunner:
        """Innermost first: a known result needs no lease and no place; what is left is cleared once a result is kept."""
        made = self._made
        attempting = ExplainingStageRunner(
            RetryingStageRunner(AdoptingStageRunner(self._container, self.leftovers), made.identities)
        )
        scheduled = ScheduledStageRunner(
            attempting,
            places=self._places,
            rank=RankStages(made.cache),
            run=run,
            project=project,
            options=options,
            begun_with=self.leftovers.gpus_of,
        )
        patient = PatientStageRunner(
            ImageStageRunner(scheduled, ready=self._parts.images),
            remains=self.remains,
            clock=made.clock,
            identities=made.identities,
        )
        logged: StageRunner = LoggedStageRunner(patient, made.keep_logs)
        if self._faults is not None:
            logged = FaultyStageRunner(logged, self._faults, before="queued", after="ended")
        caching: StageRunner = CachingStageRunner(
            logged,
            find=made.find,
            cache=made.cache,
            objects=self._parts.objects,
            clock=made.clock,
        )
        if self._faults is not None:
            caching = FaultyStageRunner(caching, self._faults, before="leased", after="published")
        tidying = TidyingStageRunner(caching, self.remains)
        merging = MergingStageRunner(
            tidying,
            flights=self._flights,
            lease=self._lease,
            find=made.find,
            logs=self._parts.logs,
            clock=made.clock,
        )
        return KnownStageRunner(merging, find=made.find, clock=made.clock)
