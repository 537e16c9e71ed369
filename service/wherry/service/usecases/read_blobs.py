"""Read content that the service itself needs, through the node's own copy."""

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import TooMany
from wherry.service.domain.limits import DVC_FILE_BYTES_MAX, TREE_BYTES_MAX
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.tree import Tree, parse_tree
from wherry.service.ports.workspaces import NodeCache


class ReadBlobs:
    """Reads blobs that are held."""

    def __init__(self, node: NodeCache) -> None:
        """Read through the node's own copy."""
        self._node = node

    async def read_dvc_file(self, blob: BlobHash) -> bytes:
        """Content of a file that Wherry itself reads, bounded."""
        return await self._node.read(blob, limit_bytes=DVC_FILE_BYTES_MAX)

    async def read_project_file(self, path: ProjectPath, file: SnapshotFile) -> bytes:
        """Content of one of the project's own files that Wherry reads.

        Raises:
            TooMany: with the path, if it is longer than what Wherry reads.
        """
        if file.size_bytes > DVC_FILE_BYTES_MAX:
            raise TooMany(f"{path} has {file.size_bytes} bytes; Wherry reads at most {DVC_FILE_BYTES_MAX}")
        return await self.read_dvc_file(file.hash)

    async def read_tree(self, blob: BlobHash) -> Tree:
        """A tree that is held."""
        return parse_tree(await self._node.read(blob, limit_bytes=TREE_BYTES_MAX))
