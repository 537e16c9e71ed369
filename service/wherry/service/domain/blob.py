"""Blobs: content named as a DVC 3 remote names it."""

import hashlib
import re
from dataclasses import dataclass
from typing import NewType

from wherry.service.domain.errors import DigestMalformed

BlobHash = NewType("BlobHash", str)
"""MD5 of the content, 32 lower-case hex digits; with ".dir" appended for a tree."""

TREE_SUFFIX = ".dir"

PACKED_HASH_BYTES = 16

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True, slots=True)
class Digest:
    """A blob's name and length."""

    hash: BlobHash
    size_bytes: int

    @property
    def is_tree(self) -> bool:
        """Whether the blob is a tree: the list of a folder's files."""
        return self.hash.endswith(TREE_SUFFIX)


def parse_blob_hash(text: str) -> BlobHash:
    """Take a hash from outside.

    Raises:
        DigestMalformed: if it does not have the form.
    """
    if not _BLOB_HASH.fullmatch(text):
        raise DigestMalformed(f"not a blob hash: {text[:80]!r}")
    return BlobHash(text)


def parse_packed_hashes(data: bytes) -> list[BlobHash]:
    """Take names of plain contents from outside, written in 16 bytes each, one after the other.

    Raises:
        DigestMalformed: if the last one is not whole.
    """
    if len(data) % PACKED_HASH_BYTES:
        raise DigestMalformed(f"{len(data)} bytes are no hashes of {PACKED_HASH_BYTES} bytes each")
    return [BlobHash(md5) for md5 in data.hex(",", PACKED_HASH_BYTES).split(",")] if data else []


def parse_sha256(text: str) -> str:
    """Take the second name of a content from outside.

    Raises:
        DigestMalformed: if it does not have the form.
    """
    if not _SHA256.fullmatch(text):
        raise DigestMalformed(f"not a SHA-256: {text[:80]!r}")
    return text


def hash_content(data: bytes) -> BlobHash:
    """Name plain content."""
    return BlobHash(hashlib.md5(data, usedforsecurity=False).hexdigest())


def digest_content(data: bytes) -> Digest:
    """Name plain content, with its length."""
    return Digest(hash_content(data), len(data))


def object_key(blob: BlobHash) -> str:
    """Where a DVC 3 remote keeps the blob, below the remote's URL."""
    return f"files/md5/{blob[:2]}/{blob[2:]}"


def legacy_object_key(name: BlobHash) -> str:
    """Where a DVC remote keeps what DVC 2 named, below the remote's URL."""
    return f"{name[:2]}/{name[2:]}"
