"""Build what drives runs, and take up those that an earlier life of the service left."""

import contextlib
import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from wherry.service.adapters.clock_system import SystemIdentities
from wherry.service.adapters.home_lock import is_at_work
from wherry.service.adapters.leases_sql import SqlLeases
from wherry.service.adapters.logs_to_keep_files import FileLogsToKeep
from wherry.service.adapters.passed_output_sql import SqlPassedOutput
from wherry.service.adapters.runs_sql import SqlRunStore
from wherry.service.adapters.submissions_sql import SqlSubmissionStore
from wherry.service.adapters.traces_docker import SERVICE_LABEL, DockerTraces
from wherry.service.adapters.traces_machine import LocalTraces
from wherry.service.bootstrap.content import Content
from wherry.service.bootstrap.parts import Parts
from wherry.service.bootstrap.projects import Projects
from wherry.service.bootstrap.runners import RunnerParts, Runners
from wherry.service.config import Settings
from wherry.service.domain.resources import Machine
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.runs import RunStore
from wherry.service.ports.submissions import SubmissionStore
from wherry.service.rpc.runs import read_submission
from wherry.service.usecases.attempt_stage import AttemptStage
from wherry.service.usecases.clear_logs import ClearLogs
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.find_leftovers import FindLeftovers
from wherry.service.usecases.guard_network import GuardNetwork
from wherry.service.usecases.hourly import Hourly
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.keep_succeeded import KeepSucceeded
from wherry.service.usecases.make_networks_ahead import MakeNetworksAhead
from wherry.service.usecases.recover_runs import RecoverRuns
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.reopen_run import ReopenRun
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.sweep_leases import SweepLeases
from wherry.service.usecases.take_known import TakeKnown
from wherry.service.usecases.watch_stops import WatchStops
from wherry.service.usecases.write_backs import WriteBacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Driving:
    """The use cases about runs that go on."""

    runs: RunStore
    submissions: SubmissionStore
    drive: DriveRun
    keep_logs: KeepLogs
    leftovers: FindLeftovers


async def open_driving(
    settings: Settings,
    parts: Parts,
    content: Content,
    projects: Projects,
    *,
    machine: Machine,
    clock: Clock,
    log: EventLog,
    stack: contextlib.AsyncExitStack,
) -> Driving:
    """Build them, and let the runs go on that were going on when the service ended."""
    identities, submissions = SystemIdentities(), SqlSubmissionStore(parts.database)
    runs = SqlRunStore(
        parts.database,
        random.Random(),  # noqa: S311 - chooses names for runs
        owner=parts.labels[SERVICE_LABEL],
    )
    keep_logs = KeepLogs(
        logs=parts.logs,
        archive=parts.log_archive,
        noted=FileLogsToKeep(settings.home / "logs-to-keep"),
        clock=clock,
        log=log,
    )
    stack.push_async_callback(keep_logs.close)
    await keep_logs.resume()
    made = RunnerParts(
        leases=SqlLeases(parts.database),
        passed=SqlPassedOutput(parts.database),
        cache=projects.cache,
        find=projects.find,
        put=content.put,
        keep_logs=keep_logs,
        clock=clock,
        identities=identities,
        log=log,
    )
    runners = Runners(settings, parts, machine, made)
    sweeping = Hourly(
        SweepLeases(leases=made.leases, passed=made.passed, clock=clock),
        name="sweep leases",
        trouble="leases cannot be swept now",
        clock=clock,
        log=log,
    )
    sweeping.start()
    stack.push_async_callback(sweeping.close)
    attempt = AttemptStage(
        resolve=projects.resolve,
        recorded=content.recorded,
        find=projects.find,
        logs=parts.logs,
        clock=clock,
        identities=identities,
        note_use=content.note_use,
        node=settings.node,
    )
    drive = DriveRun(
        take_known=TakeKnown(
            resolve=projects.resolve, find=projects.find, note_use=content.note_use, clock=clock
        ),
        attempt=RestoreInputs(attempt=attempt, find_vanished=content.find_vanished),
        runners=runners,
        runs=runs,
        keep_succeeded=KeepSucceeded(projects.resolve, clock),
        reopen=ReopenRun(
            submissions=submissions, read_submission=read_submission, open_project=projects.open
        ),
        write_backs=WriteBacks(
            put=content.put,
            index=content.index,
            legacy=content.legacy,
            publish=content.publish_legacy,
        ),
        logs=parts.logs,
        clock=clock,
        log=log,
    )
    recover = RecoverRuns(
        runs=runs, drive=drive, leftovers=runners.leftovers, workspaces=parts.workspaces, clock=clock, log=log
    )
    await recover.start()
    clear_logs = ClearLogs(
        logs=parts.logs,
        runs=runs,
        in_use=lambda: keep_logs.runs,
        age_max=timedelta(days=settings.logs_days),
        bytes_max=int(settings.logs_gb * 10**9),
        clock=clock,
        log=log,
    )
    clearing = Hourly(
        clear_logs, name="clear logs", trouble="logs cannot be cleared away now", clock=clock, log=log
    )
    clearing.start()
    stack.push_async_callback(clearing.close)
    if parts.database.is_shared:
        stops = WatchStops(runs=runs, drive=drive, clock=clock)
        stops.start()
        stack.push_async_callback(stops.close)
    stack.push_async_callback(_leave, recover, drive, runners.remains)
    if not parts.network.withheld:
        guard = GuardNetwork(engine=parts.engine, clock=clock, log=log, is_needed=lambda: bool(runners.going))
        guard.start()
        stack.push_async_callback(guard.close)
        ahead = MakeNetworksAhead(engine=parts.engine, clock=clock)
        ahead.start()
        stack.push_async_callback(ahead.close)
    leftovers = FindLeftovers(
        traces=DockerTraces(parts.engine),
        machine=LocalTraces(parts.engine),
        service=parts.labels[SERVICE_LABEL],
        at_work=lambda home: is_at_work(Path(home)),
        going=lambda: runners.going,
    )
    return Driving(runs=runs, submissions=submissions, drive=drive, keep_logs=keep_logs, leftovers=leftovers)


async def _leave(recover: RecoverRuns, drive: DriveRun, remains: Remains) -> None:
    """Stop without stopping what runs: containers go on, and are taken up when the service is back."""
    remains.stay = True
    await recover.close()
    await drive.close()
    await remains.close()
