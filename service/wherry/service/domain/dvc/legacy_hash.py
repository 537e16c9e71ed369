"""Hashes of DVC 2, which DVC 3 still compares, entry by entry, where `hash: md5` does not stand beside the MD5.

They are MD5s of the content with the Windows line ends of text made plain ("md5-dos2unix"). Content without such line
ends has its own MD5 as its hash of DVC 2, and that is tried first: nothing needs to be read for it. Only where it is
not the recorded one, the hash is computed and looked up in a `LegacyHashes`.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.records import FileEntry
from wherry.service.domain.tree import Tree, TreeEntry

READ_BYTES = 1024 * 1024
"""How much of a file DVC reads at once. Each read is text or not by itself, and a line end cut in two stays as it is."""

LegacyHashes = Mapping[BlobHash, BlobHash]
"""Of content, by its own hash: the hash that DVC 2 gives it. Trees and files; as far as somebody looked."""

_HEAD_BYTES = 512
_TEXT_BYTES = bytes(range(32, 127)) + b"\n\r\t\f\b"


class LegacyHasher:
    """Hashes one file as DVC 2 did."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, read: bytes) -> None:
        """Take the next READ_BYTES of the file; only the last read may be shorter."""
        if b"\r\n" in read and _is_text(read[:_HEAD_BYTES]):
            read = read.replace(b"\r\n", b"\n")
        self._md5.update(read)

    def hash(self) -> BlobHash:
        """The hash of what was read."""
        return BlobHash(self._md5.hexdigest())


def _is_text(head: bytes) -> bool:
    """DVC's guess: no NUL, and at most three in ten bytes outside ASCII text."""
    return b"\0" not in head and 10 * len(head.translate(None, _TEXT_BYTES)) <= 3 * len(head)


def legacy_tree_hash(tree: Tree, legacy: LegacyHashes) -> BlobHash:
    """The hash that DVC 2 gives a folder; KeyError for a member that is not in `legacy`."""
    return Tree.of(TreeEntry(entry.path, legacy[entry.hash]) for entry in tree.entries).digest().hash


def undecided(recorded: Collection[FileEntry], current: Iterable[FileEntry]) -> Iterator[FileEntry]:
    """Those of the current files whose hash of DVC 2 must be known to tell whether they changed."""
    before = {file.path: file for file in recorded if file.is_legacy}
    for file in current:
        known = before.get(file.path)
        if known is not None and may_be(file.hash, known.hash) and _may_be_as_long(file, known):
            yield file


def _may_be_as_long(current: FileEntry, recorded: FileEntry) -> bool:
    """Plain line ends make content half as long at most. DVC 1 recorded no sizes."""
    sizes = sorted((current.size_bytes, recorded.size_bytes))
    return not recorded.size_bytes or sizes[1] <= 2 * sizes[0]


def may_be(content: BlobHash, recorded: BlobHash) -> bool:
    """Whether only the content's hash of DVC 2 tells if it is what is recorded under one."""
    return content != recorded and content.endswith(TREE_SUFFIX) == recorded.endswith(TREE_SUFFIX)


def as_recorded(
    current: Iterable[FileEntry], recorded: Collection[FileEntry], legacy: LegacyHashes
) -> tuple[FileEntry, ...]:
    """Write files as DVC does when it saves an entry: under a hash of DVC 2 what is recorded so and did not change."""
    before = {file.path: file.hash for file in recorded if file.is_legacy}
    if not before:
        return tuple(current)
    return tuple(_as_recorded(file, before.get(file.path), legacy) for file in current)


def outputs_as_recorded(
    current: Iterable[FileEntry], recorded: Collection[FileEntry], legacy: LegacyHashes
) -> tuple[FileEntry, ...]:
    """Write outputs so, and leave files that did not change with the version that a cloud keeps of them."""
    versioned = {file.path: file for file in recorded if file.versioned is not None}
    return tuple(
        known if (known := versioned.get(file.path)) and _is_same(known, file) else file
        for file in as_recorded(current, recorded, legacy)
    )


def _is_same(recorded: FileEntry, current: FileEntry) -> bool:
    is_file = not current.hash.endswith(TREE_SUFFIX)
    return is_file and (recorded.hash, recorded.is_legacy) == (current.hash, current.is_legacy)


def _as_recorded(file: FileEntry, recorded: BlobHash | None, legacy: LegacyHashes) -> FileEntry:
    if recorded is None or recorded not in {file.hash, legacy.get(file.hash)}:
        return file
    return replace(file, hash=recorded, is_legacy=True)
