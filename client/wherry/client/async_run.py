"""A run as an object for asyncio: as run.py, with `await` where the service is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self

from wherry.client.errors import TimeLimitPassed
from wherry.client.run import Pulled, Run, failure_of
from wherry.client.run_facts import Line, RunFacts, Stage

if TYPE_CHECKING:
    from wherry.client.async_client import AsyncClient
    from wherry.client.results import ApplyReport, PullReport
    from wherry.client.watching import Event
    from wherry.v1.runs_pb2 import Run as RunRecord


class AsyncRun(RunFacts):
    """A run of one service. Its facts are as they were heard of last; `refresh` asks again.

    Everything means what it means for `Run`. `stages`, `metrics` and `params` are awaited too: `await run.metrics`.
    """

    def __init__(self, client: AsyncClient, record: RunRecord) -> None:
        """Take who to ask, and what is known."""
        super().__init__(record)
        self._client = client

    async def refresh(self) -> Self:
        """Ask how it stands; returns itself."""
        self._hear((await self._client.run(self.id)).record)
        return self

    async def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended; `timeout` in seconds. Returns itself. Costs no thread.

        Raises:
            TimeLimitPassed: when the time is over; the run goes on.
        """
        try:
            async with asyncio.timeout(timeout):
                if not self.has_ended:
                    async with aclosing(self._client.watch(self.id, logs=False)) as changes:
                        async for _ in changes:
                            pass
                return await self.refresh()
        except TimeoutError:
            raise TimeLimitPassed("the time limit passed; the run goes on") from None

    def check(self) -> Self:
        """Return itself if it succeeded.

        Raises:
            RunFailed: if it ended otherwise, or has not ended.
        """
        if not self.succeeded:
            raise failure_of(self)
        return self

    def watch(self, *, logs: bool = True, timeout: float | None = None) -> AsyncGenerator[Event, None]:
        """Tell what happens to it until it has ended. A stage's last lines may come after its end."""
        return self._client.watch(self.id, logs=logs, timeout=timeout)

    async def logs(self, stage: str = "", *, follow: bool = False) -> AsyncGenerator[Line, None]:
        """Return what stages wrote, or one of them; with `follow` until the run has ended."""
        async with aclosing(self._client.logs(self.id, stage=stage, follow=follow)) as lines:
            async for line in lines:
                yield Line.of(line)

    async def stop(self) -> Self:
        """Ask that it be stopped; `wait` waits for that. Returns itself."""
        self._hear((await self._client.stop(self.id)).record)
        return self

    async def retry(self, *from_stages: str, name: str = "") -> AsyncRun:
        """Submit it once more: what succeeded is used, the rest and `from_stages` run."""
        return await self._client.retry(self.id, from_stages=from_stages, name=name)

    @property
    def stages(self) -> Awaitable[dict[str, Stage]]:
        """Its stages by name."""
        return self._known_stages()

    @property
    def metrics(self) -> Awaitable[dict[str, Any]]:
        """The values of its metrics files, by path."""
        return self._client.run_results(self.id, "metrics")

    @property
    def params(self) -> Awaitable[dict[str, Any]]:
        """The values of the parameters it ran with, by path of the file."""
        return self._client.run_results(self.id, "params")

    async def apply(self, *, force: bool = False, outputs: bool = True) -> ApplyReport:
        """Write its dvc.lock, params and (with `outputs`) uncached outputs into the client's project."""
        return await self._client.apply(self, force=force, outputs=outputs)

    async def pull(self, *paths: str, only: Pulled = "all") -> PullReport:
        """Bring its outputs into the client's project, verified; `paths` select some, or parts of folders."""
        return await self._client.ask(lambda client: Run(client, self._record).pull(*paths, only=only))

    async def bring_back(self, pull: Pulled = "metrics") -> ApplyReport:
        """Do what `wherry repro` does at its end: apply it, and bring some of its outputs."""
        return await self._client.ask(lambda client: Run(client, self._record).bring_back(pull))

    async def _known_stages(self) -> dict[str, Stage]:
        if not self._record.stages:
            await self.refresh()
        return self._stages()
