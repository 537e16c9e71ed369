"""Execute a stage while holding the lease on its key, or wait for the service that holds it."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from wherry.service.domain.errors import LeaseLost, Unavailable
from wherry.service.domain.lease import Lease
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import (
    Failed,
    LeaseToken,
    Lost,
    Outcome,
    StageTask,
    Succeeded,
)
from wherry.service.ports.clock import Clock, Identities
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.leases import Leases
from wherry.service.ports.passed_output import PassedOutput
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.follow_lease import FollowLease
from wherry.service.usecases.known_runner import as_known
from wherry.service.usecases.pass_output import PassOutput
from wherry.service.usecases.patience import patiently
from wherry.service.usecases.renew_leases import LEASE_LIFE_S, RenewLeases
from wherry.service.usecases.shared_output import SharedOutput

_LOOK_S = LEASE_LIFE_S / 30

# How often an execution may lose its lease before that is told.
_TIMES_MAX = 3

Execute = Callable[[StageTask], Awaitable[Outcome]]


class HoldLease:
    """Of all services of one database, one executes a key at a time."""

    def __init__(
        self,
        *,
        leases: Leases,
        passed: PassedOutput,
        find: FindResult,
        clock: Clock,
        identities: Identities,
        log: EventLog,
        owner: str,
    ) -> None:
        """Take leases as `owner`; what others wait for goes through `passed`."""
        self._leases = leases
        self._passed = passed
        self._find = find
        self._clock = clock
        self._identities = identities
        self._log = log
        self._owner = owner
        self._renew = RenewLeases(leases=leases, clock=clock, log=log)

    async def __call__(self, task: StageTask, output: SharedOutput, execute: Execute) -> Outcome:
        """Return how the execution ended, here or elsewhere; what it writes comes to `output`."""
        lost = 0
        follow = FollowLease(self._leases, self._passed, self._clock, output, look_s=_LOOK_S)
        while lost < _TIMES_MAX:
            try:
                outcome = await self._once(task, output, follow, execute)
            except LeaseLost:
                lost += 1
                self._log.warning("lease lost", run_id=task.run_id, key=task.key)
                continue
            except Unavailable as exc:
                return Lost(reason=exc.message)
            if outcome is not None:
                return outcome
        return Lost(reason=f"another service took the stage over, {_TIMES_MAX} times")

    async def _once(
        self, task: StageTask, output: SharedOutput, follow: FollowLease, execute: Execute
    ) -> Outcome | None:
        # Made anew for each try: what expires meanwhile is of no use.
        wanted, standing = await patiently(lambda: self._acquire(task), self._clock)
        if standing.token == wanted.token:
            return await self._hold(wanted, task, output, execute)
        if not task.may_share:
            return await execute(task)  # what others have begun is not what was asked for
        return await self._wait_for(standing, task, follow)

    async def _acquire(self, task: StageTask) -> tuple[Lease, Lease]:
        wanted = self._wanted(task)
        return wanted, await self._leases.acquire(wanted, now=self._clock.now())

    def _wanted(self, task: StageTask) -> Lease:
        return Lease(
            key=task.key,
            token=LeaseToken(self._identities.new_attempt_id()),
            owner=self._owner,
            run_id=task.run_id,
            user=task.user,
            stage=task.stage.name,
            expires_at=self._clock.now() + timedelta(seconds=LEASE_LIFE_S),
        )

    async def _hold(self, lease: Lease, task: StageTask, output: SharedOutput, execute: Execute) -> Outcome:
        working = asyncio.ensure_future(execute(replace(task, fence=lease.token)))
        others = PassOutput(output, lease, passed=self._passed, clock=self._clock, log=self._log)
        beating = asyncio.create_task(self._renew(lease, watched=others.begin))
        failure: Failed | None = None
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise LeaseLost("another service has taken the stage over")
            outcome = working.result()
            failure = outcome if isinstance(outcome, Failed) else None
            return outcome
        finally:
            working.cancel()
            beating.cancel()
            await asyncio.wait({working, beating})
            files = _fingerprint(task.files) if failure is not None else ""
            await asyncio.shield(self._end(lease, others, failure, files))

    async def _end(self, lease: Lease, others: PassOutput, failure: Failed | None, files: str) -> None:
        """Give the lease up once all who watch it can have the output."""
        end = partial(self._leases.end, lease.key, lease.token, failure=failure, files=files)
        try:
            if others.has_begun or not await end(watched=False):
                await others.finish()
                await end()
        except Unavailable:
            # It expires by itself, and this service may take it at any time.
            self._log.warning("lease not given up", run_id=lease.run_id, key=lease.key)

    async def _wait_for(self, lease: Lease, task: StageTask, follow: FollowLease) -> Outcome | None:
        """Wait for another service; None: the lease may be free now."""
        standing = await follow(lease)
        if standing is not None and standing.token == lease.token:
            is_shared = standing.failure is not None and standing.files == _fingerprint(task.files)
            return standing.failure if is_shared else None
        known = await patiently(lambda: self._find(task), self._clock)
        if known is None or known.result is None:
            return None
        if not follow.has_all:
            # Its holder died between keeping the result and passing on the rest: the output is had from the archive.
            return as_known(known, task)
        return Succeeded(
            entry=known.entry,
            cache=CacheUse.MERGED,
            wall_s=known.result.wall_s,
            from_run=lease.run_id,
            from_user=lease.user,
        )


def _fingerprint(files: Mapping[ProjectPath, SnapshotFile]) -> str:
    """The same for the same files."""
    plain = sorted((path, file.hash, file.executable) for path, file in files.items())
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()
