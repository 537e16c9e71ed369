"""Metrics, params and plots of the workspace, of commits and of runs, for asyncio: as revisions.py, awaited."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from wherry.client.revisions import Json, Kind, Revision, Revisions, Which, tell_nobody
from wherry.v1.blobs_pb2 import BlobDigest
from wherry.v1.runs_pb2 import Run

if TYPE_CHECKING:
    from wherry.client.async_client import AsyncClient
    from wherry.client.branching import Branched
    from wherry.client.client import Client

AnswerT = TypeVar("AnswerT")


class AsyncRevisions:
    """Finds revisions and reads their results. Every method means what it means for `Revisions`.

    Each question has a process of git of its own, which ends with it.
    """

    def __init__(self, client: AsyncClient) -> None:
        """Take the client."""
        self._client = client

    async def is_before_first(self, names: Iterable[str]) -> bool:
        """Whether HEAD is among the names, in a repository without any commit."""
        return await self._ask(lambda revisions: revisions.is_before_first(names))

    async def find(self, which: Which) -> list[Revision]:
        """List the workspace and the revisions that are meant; the workspace alone when nothing is."""
        return await self._ask(lambda revisions: revisions.find(which))

    async def resolve(self, name: str) -> Revision:
        """Find what a name stands for: git's own meaning first, else a run."""
        return await self._ask(lambda revisions: revisions.resolve(name))

    async def read(
        self,
        revision: Revision,
        kinds: Iterable[Kind],
        *,
        targets: Sequence[str] = (),
        stage_params_only: bool = False,
        working_folder: str = "",
        no_header: bool = False,
    ) -> Json | None:
        """Read what a revision declares, by kind; None when the project's folder is not in it."""
        return await self._ask(
            lambda revisions: revisions.read(
                revision,
                kinds,
                targets=targets,
                stage_params_only=stage_params_only,
                working_folder=working_folder,
                no_header=no_header,
            )
        )

    async def gather(
        self,
        which: Which,
        kind: Kind,
        *,
        targets: Sequence[str] = (),
        stage_params_only: bool = False,
        tell: Callable[[str], None] = tell_nobody,
    ) -> dict[str, Json]:
        """Read one kind of every revision, in DVC's shape. `tell` is called from another thread."""
        return await self._ask(
            lambda revisions: revisions.gather(
                which, kind, targets=targets, stage_params_only=stage_params_only, tell=tell
            )
        )

    async def contents(self, digests: Iterable[BlobDigest]) -> dict[str, bytes]:
        """Fetch content that the store holds, by hash."""
        return await self._ask(lambda revisions: revisions.contents(digests))

    async def branch(self, run: Run, name: str, *, force: bool = False) -> Branched:
        """Make a git branch of a run: its sources, params, dvc.lock and uncached outputs, on the commit it came from."""
        return await self._ask(lambda revisions: revisions.branch(run, name, force=force))

    async def _ask(self, work: Callable[[Revisions], AnswerT]) -> AnswerT:
        def ask(client: Client) -> AnswerT:
            with contextlib.closing(client.revisions()) as revisions:
                return work(revisions)

        return await self._client.ask(ask)
