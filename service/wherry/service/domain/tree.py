"""Trees: what DVC stores for a folder (research: DVC's `.dir` objects).

The bytes are a JSON list of {"md5", "relpath"}, sorted by relpath as code points, with Python's default
separators and ASCII escapes. Empty folders and execute bits are not represented.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, Digest, hash_content, parse_blob_hash
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.paths import parse_project_path


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a folder, `path` relative to the folder."""

    path: str
    hash: BlobHash


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder's files, sorted by path."""

    entries: tuple[TreeEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[TreeEntry]) -> "Tree":
        """Sort entries as DVC does: by the path string."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.path)))

    def to_bytes(self) -> bytes:
        """Write the content of the `.dir` object."""
        items = [{"md5": entry.hash, "relpath": entry.path} for entry in self.entries]
        return json.dumps(items, sort_keys=True).encode()

    def digest(self) -> Digest:
        """Name the tree. The size is that of its JSON, not of its files."""
        data = self.to_bytes()
        return Digest(BlobHash(hash_content(data) + TREE_SUFFIX), len(data))

    def at_or_below(self, path: str) -> Sequence[TreeEntry]:
        """The file at a path relative to the folder, or the files below it. Found by bisection: trees are large."""

        def position(text: str) -> int:
            return bisect_left(self.entries, text, key=lambda entry: entry.path)

        at = position(path)
        file = [entry for entry in self.entries[at : at + 1] if entry.path == path]
        # "0" follows "/" among the characters.
        return [*file, *self.entries[position(path + "/") : position(path + "0")]]

    def hashes(self) -> frozenset[BlobHash]:
        """The blobs that must be held for the tree to be whole."""
        return frozenset(entry.hash for entry in self.entries)


def parse_tree(data: bytes) -> Tree:
    """Read the content of a `.dir` object; unknown keys of entries are ignored, as DVC does.

    Raises:
        InvalidInput: if it is not such content, or an entry's path leads out of the folder.
    """
    try:
        items = json.loads(data)
        entries = [(str(item["relpath"]), str(item["md5"])) for item in items]
    except (ValueError, TypeError, KeyError) as exc:
        raise InvalidInput("not a tree: expected a JSON list of {md5, relpath}") from exc
    return Tree.of(TreeEntry(parse_project_path(path), parse_blob_hash(md5)) for path, md5 in entries)
