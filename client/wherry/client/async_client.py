"""The SDK for asyncio: the methods of `Client`, awaited.

Whatever lasts as long as a run does (`wait`, `watch`, `logs`) is gRPC's asyncio, and costs no thread. The rest ends
by itself: it reads, hashes and writes files between its calls, and runs in a pool of a few threads. A task that is
cancelled breaks off its calls and transfers there, and waits until nothing of it is left (cancelling.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from wherry.client.answers import Caller, Status, Why
from wherry.client.async_run import AsyncRun
from wherry.client.async_streams import AsyncStreams
from wherry.client.cancelling import Scope
from wherry.client.client import Client, with_targets
from wherry.client.errors import ClientError, TimeLimitPassed
from wherry.client.progress import Progress
from wherry.client.run import Pulled, Run
from wherry.client.selection import RunOptions, Selection
from wherry.client.watching import Event
from wherry.v1.blobs_pb2 import CheckBlobsResponse
from wherry.v1.cache_pb2 import (
    CachedResult,
    CollectGarbageResponse,
    CompareResultsResponse,
    GetCacheStatsResponse,
)
from wherry.v1.pipelines_pb2 import FileRecord, LintReport, LockStatus, Pipeline
from wherry.v1.runs_pb2 import LogLine
from wherry.v1.secrets_pb2 import SecretRecord
from wherry.v1.system_pb2 import CheckServiceResponse, GetDvcRemoteResponse, GetInfoResponse, Leftover
from wherry.v1.tokens_pb2 import CreateTokenResponse, TokenRecord

if TYPE_CHECKING:
    from wherry.client.async_revisions import AsyncRevisions
    from wherry.client.editing import Edited, NewStage
    from wherry.client.results import ApplyReport, PullReport

AnswerT = TypeVar("AnswerT")

_AT_ONCE = 8


class AsyncClient:
    """Talks to one service, for the project around one folder. Made and used in one event loop.

    Every method means what it means for `Client`; `ask` reaches whatever has no method here.
    """

    def __init__(
        self,
        *,
        server: str | None = None,
        profile: str | None = None,
        folder: str | os.PathLike[str] = ".",
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = None,
    ) -> None:
        """Connect to `server`, or what environment, project and profile say, or this machine's embedded service.

        Progress is told from other threads.
        """
        self._client = Client(
            server=server, profile=profile, folder=folder, environ=environ, progress=progress
        )
        self._streams = AsyncStreams(self._client.connection)
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="wherry")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. What other tasks still ask is broken off."""
        await self._streams.close()
        self._client.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def ask(self, work: Callable[[Client], AnswerT]) -> AnswerT:
        """Do something with a `Client` in one of the threads, and return what comes of it.

        When the task is cancelled the client's calls and transfers are broken off; this returns when that is done.
        """
        scope = Scope()
        future = self._pool.submit(work, self._client.within(scope))
        answer = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            scope.cancel()
            if not future.cancel():
                with contextlib.suppress(ClientError):
                    await answer
            raise

    @property
    def target(self) -> str:
        """host:port of the service."""
        return self._client.target

    @property
    def cache(self) -> AsyncRunCache:
        """The run cache."""
        return AsyncRunCache(self)

    async def info(self, *, timeout: float = 30.0) -> GetInfoResponse:
        """Ask the service about itself; `timeout` in seconds."""
        return await self.ask(lambda client: client.info(timeout=timeout))

    async def whoami(self) -> Caller:
        """Say which service is used, who says so, and as whom."""
        return await self.ask(lambda client: client.whoami())

    async def dvc_remote(self) -> GetDvcRemoteResponse:
        """Return the bucket as a DVC remote, with its credentials."""
        return await self.ask(lambda client: client.dvc_remote())

    async def check_service(self) -> CheckServiceResponse:
        """Have the service try everything that it stands on."""
        return await self.ask(lambda client: client.check_service())

    async def remove_leftovers(self) -> Sequence[Leftover]:
        """Remove from the engine what services that are no longer at work left there; returns what that was."""
        return await self.ask(lambda client: client.remove_leftovers())

    def check_blobs(self, sample: int = 0) -> AsyncGenerator[CheckBlobsResponse, None]:
        """Have the service read `sample` blobs of the store, or all when 0, again; tells how it goes."""
        return self.iterate(lambda client: client.check_blobs(sample))

    async def create_token(self, name: str, *, user: str = "", lifetime_s: int = 0) -> CreateTokenResponse:
        """Make a token, whose holder comes as `user`; it is in this answer and nowhere else. For the owner alone."""
        return await self.ask(lambda client: client.create_token(name, user=user, lifetime_s=lifetime_s))

    async def list_tokens(self) -> Sequence[TokenRecord]:
        """List tokens by name, without what their holders show. For the owner alone."""
        return await self.ask(lambda client: client.list_tokens())

    async def delete_token(self, name: str) -> TokenRecord:
        """Remove a token: it counts no more; returns it as it was. For the owner alone."""
        return await self.ask(lambda client: client.delete_token(name))

    async def put_secret(self, name: str, value: bytes) -> None:
        """Keep a secret for the project's stages, in place of the one that was called so before."""
        await self.ask(lambda client: client.put_secret(name, value))

    async def list_secrets(self) -> Sequence[SecretRecord]:
        """Return the project's secrets, by name, without values."""
        return await self.ask(lambda client: client.list_secrets())

    async def delete_secret(self, name: str) -> None:
        """Remove one of the project's secrets."""
        await self.ask(lambda client: client.delete_secret(name))

    async def describe(
        self, selection: Selection | None = None, *, full: bool = False, outputs: bool = False
    ) -> Pipeline:
        """Resolve the project's pipeline: targets (stages or outputs) and all they depend on."""
        return await self.ask(lambda client: client.describe(selection, full=full, outputs=outputs))

    async def status(self, selection: Selection | None = None, *, force: bool = False) -> Status:
        """Say for each selected stage what a run would do with it now."""
        return await self.ask(lambda client: client.status(selection, force=force))

    async def why(self, stage: str, *, run: str = "") -> Why:
        """Say why a stage would be computed or not, now or in a run."""
        return await self.ask(lambda client: client.why(stage, run=run))

    async def lock_status(self, selection: Selection | None = None) -> LockStatus:
        """Compare the project with its dvc.lock files, as `dvc status` does."""
        return await self.ask(lambda client: client.lock_status(selection))

    async def lint(self) -> LintReport:
        """Find all mistakes in the project's files."""
        return await self.ask(lambda client: client.lint())

    async def add_stage(self, stage: NewStage, *, force: bool = False) -> Edited:
        """Write a stage into the dvc.yaml of the folder; with `force` one of its name is replaced."""
        return await self.ask(lambda client: client.add_stage(stage, force=force))

    async def expand_sweep(self, set_params: Sequence[str]) -> list[tuple[str, ...]]:
        """Make of parameter changes with sweeps over values those of single runs, in DVC's order."""
        return await self.ask(lambda client: client.expand_sweep(set_params))

    @contextlib.asynccontextmanager
    async def at_rev(self, rev: str) -> AsyncGenerator[AsyncClient, None]:
        """Give a client for a commit of the project, checked out elsewhere as long as it is used; "" is the folder."""
        leave = contextlib.ExitStack()
        try:
            source = await self.ask(lambda _client: leave.enter_context(self._client.at_rev(rev)))
            other = copy.copy(self)
            other._client = source  # noqa: SLF001 - its own kind
            yield other
        finally:
            await self.ask(lambda _client: leave.close())

    def revisions(self) -> AsyncRevisions:
        """Return what reads metrics, params and plots of the workspace, of commits and of runs."""
        from wherry.client.async_revisions import AsyncRevisions  # noqa: PLC0415

        return AsyncRevisions(self)

    async def submit(
        self, selection: Selection | None = None, options: RunOptions | None = None, *, rev: str = ""
    ) -> AsyncRun:
        """Submit the project as it stands, or a commit of it; returns once the run is accepted."""
        return self._run(await self.ask(lambda client: client.submit(selection, options, rev=rev)))

    async def sweep(self, selection: Selection, options: RunOptions | None = None) -> list[AsyncRun]:
        """Submit a run for each combination of the values of `set_params`."""
        return [self._run(run) for run in await self.ask(lambda client: client.sweep(selection, options))]

    async def repro(
        self,
        *targets: str,
        selection: Selection | None = None,
        options: RunOptions | None = None,
        pull: Pulled = "metrics",
        timeout: float | None = None,
    ) -> AsyncRun:
        """Do as `wherry repro`: submit, wait, bring back results. The run may have failed."""
        run = await self.submit(with_targets(selection, targets), options)
        await run.wait(timeout)
        await run.bring_back(pull)
        return run

    async def retry(self, run: str, *, from_stages: Sequence[str] = (), name: str = "") -> AsyncRun:
        """Submit a run once more; `from_stages` (addresses from the DVC root) run, and all after them."""
        return self._run(await self.ask(lambda client: client.retry(run, from_stages=from_stages, name=name)))

    async def run(self, run: str) -> AsyncRun:
        """Return a run with its stages."""
        return self._run(await self.ask(lambda client: client.run(run)))

    async def stop(self, run: str) -> AsyncRun:
        """Ask that a run be stopped; returns it as it was then."""
        return self._run(await self.ask(lambda client: client.stop(run)))

    async def runs(self, *, project: str = "", limit: int = 50, active_only: bool = False) -> list[AsyncRun]:
        """List runs, newest first, without stages; of one project or of all."""
        found = await self.ask(
            lambda client: client.runs(project=project, limit=limit, active_only=active_only)
        )
        return [self._run(run) for run in found]

    async def run_results(self, run: str, kind: Literal["metrics", "params"]) -> dict[str, Any]:
        """Return the values of a run's metrics or parameters, by path from the DVC root."""
        return await self.ask(lambda client: client.run_results(run, kind))

    async def apply(self, run: AsyncRun, *, force: bool = False, outputs: bool = True) -> ApplyReport:
        """Write a run's dvc.lock, params and (with `outputs`) uncached outputs into the project."""
        return await self.ask(
            lambda client: client.apply(Run(client, run.record), force=force, outputs=outputs)
        )

    async def pull(self, outs: Iterable[FileRecord], paths: Sequence[str] = ()) -> PullReport:
        """Bring outputs into the project, verified; `paths` (from the DVC root) select some."""
        return await self.ask(lambda client: client.pull(outs, paths))

    async def workspace_outs(self) -> list[FileRecord]:
        """List outputs and sources that are known for the project as it stands, without running anything."""
        return await self.ask(lambda client: client.workspace_outs())

    async def watch(
        self, run: str, *, logs: bool = True, timeout: float | None = None, patience_s: float = 300.0
    ) -> AsyncGenerator[Event, None]:
        """Tell what happens to a run until it has ended. A stage's last lines may come after its end.

        Raises:
            TimeLimitPassed: when `timeout` seconds are over; the run goes on.
        """
        events = (self._streams.watch if logs else self._streams.changes)(run, patience_s=patience_s)
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        async with aclosing(events):
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise TimeLimitPassed("the time limit passed; the run goes on") from None
                yield event

    def logs(
        self, run: str, *, stage: str = "", follow: bool = False, patience_s: float = 300.0
    ) -> AsyncGenerator[LogLine, None]:
        """Return what stages wrote, from the beginning; with `follow` until the run has ended."""
        return self._streams.lines(run, stage=stage, follow=follow, patience_s=patience_s)

    async def iterate(self, work: Callable[[Client], Iterator[AnswerT]]) -> AsyncGenerator[AnswerT, None]:
        """Go through what a `Client` tells step by step; leaving it breaks it off."""
        scope = Scope()
        steps = work(self._client.within(scope))
        try:
            while True:
                future = self._pool.submit(next, steps, None)
                step = await asyncio.wrap_future(future)
                if step is None:
                    return
                yield step
        finally:
            scope.cancel()

    def _run(self, run: Run) -> AsyncRun:
        return AsyncRun(self, run.record)


class AsyncRunCache:
    """Results of stages, by their keys; as `RunCache`."""

    def __init__(self, client: AsyncClient) -> None:
        """Take the client."""
        self._client = client

    async def results(
        self, *, match: str = "", user: str = "", pinned_only: bool = False, limit: int = 50
    ) -> list[CachedResult]:
        """List results, newest first; `match` is looked for in commands and paths."""
        return await self._client.ask(
            lambda client: client.cache.results(match=match, user=user, pinned_only=pinned_only, limit=limit)
        )

    async def result(self, key: str) -> CachedResult:
        """Return one result, whole."""
        return await self._client.ask(lambda client: client.cache.result(key))

    async def compare(self, before: str, after: str) -> CompareResultsResponse:
        """Say how two results differ."""
        return await self._client.ask(lambda client: client.cache.compare(before, after))

    async def stats(self, days: int = 0) -> GetCacheStatsResponse:
        """Count what there is; runs of so many days, or all when 0."""
        return await self._client.ask(lambda client: client.cache.stats(days))

    async def remove(self, keys: Sequence[str]) -> list[str]:
        """Forget results; returns their keys, whole."""
        return await self._client.ask(lambda client: client.cache.remove(keys))

    async def pin(self, key: str, *, pinned: bool = True) -> CachedResult:
        """Keep a result from being collected, or do not any more."""
        return await self._client.ask(lambda client: client.cache.pin(key, pinned=pinned))

    def collect(
        self, unused_s: int, *, inputs: bool = False, dry: bool = False
    ) -> AsyncGenerator[CollectGarbageResponse, None]:
        """Collect what was of no use for so many seconds; tells how it goes, at least once."""
        return self._client.iterate(lambda client: client.cache.collect(unused_s, inputs=inputs, dry=dry))
