"""Keep the project of a run as it was submitted, so that it can be looked at and taken up later."""

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.errors import BlobMissing, SnapshotUnknown
from wherry.service.domain.limits import TREE_BYTES_MAX
from wherry.service.domain.run import Run
from wherry.service.domain.snapshot import Snapshot
from wherry.service.domain.snapshot_document import read_snapshot, write_snapshot
from wherry.service.ports.workspaces import NodeCache
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.resolve_stage import ProjectState


class KeepSnapshot:
    """Writes and reads the documents. One project that is submitted often is kept once."""

    def __init__(self, *, put: PutBlobs, node: NodeCache) -> None:
        """Store through `put`, read through the node's own copy."""
        self._put = put
        self._node = node

    async def keep(self, state: ProjectState) -> Digest:
        """Keep a project that is about to run, and name what was kept."""
        return await self._put.put_content(write_snapshot(state.project.snapshot, state.placed))

    async def of(self, run: Run) -> Snapshot:
        """Return the project of a run.

        Raises:
            SnapshotUnknown: if it was not kept, or has gone from the store.
        """
        hint = "Compare with a later run, or submit the commit again."
        if not run.snapshot:
            raise SnapshotUnknown(f"the project of run {run.id} was not kept", hint=hint)
        try:
            content = await self._node.read(BlobHash(run.snapshot), limit_bytes=TREE_BYTES_MAX)
        except BlobMissing as exc:
            raise SnapshotUnknown(f"the project of run {run.id} has gone from the store", hint=hint) from exc
        return read_snapshot(content)
