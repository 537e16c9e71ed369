"""Packs: objects of the bucket in which many small files of projects stand one after the other.

The first line is JSON, {"schema": "wherry.pack/1", "members": [[MD5, SHA-256, length], …]}, and ends with a line feed.
The contents follow in this order, without a gap. A pack is named by the SHA-256 of all its bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, hash_content, parse_blob_hash
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.limits import PACK_BYTES_MAX, PACK_MEMBERS_MAX

PACKS_FOLDER = "wherry/packs/"

_SCHEMA = "wherry.pack/1"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PackMember:
    """A blob that stands in a pack."""

    hash: BlobHash
    sha256: str
    offset: int
    size_bytes: int

    def content_in(self, pack: bytes) -> bytes:
        """Cut it out of the pack's bytes."""
        return pack[self.offset : self.offset + self.size_bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack, whole."""

    name: str
    content: bytes
    members: tuple[PackMember, ...]


def pack_key(name: str) -> str:
    """Where a pack is, below the store's URL."""
    return PACKS_FOLDER + name


def make_pack(bodies: Sequence[tuple[BlobHash, str, bytes]]) -> Pack:
    """Put contents, each with its MD5 and SHA-256, into a pack."""
    listed = [(blob, sha256, len(body)) for blob, sha256, body in bodies]
    head = json.dumps({"schema": _SCHEMA, "members": listed}, separators=(",", ":")).encode() + b"\n"
    content = b"".join([head, *(body for _, _, body in bodies)])
    return Pack(
        name=hashlib.sha256(content).hexdigest(),
        content=content,
        members=tuple(_placed(listed, len(head))),
    )


def read_pack(content: bytes) -> tuple[PackMember, ...]:
    """Read what a pack says is in it; the contents are not compared.

    Raises:
        InvalidInput: if it is no pack, or its contents are longer or shorter than it says.
    """
    head = content.partition(b"\n")[0]
    try:
        document = json.loads(head)
        if document["schema"] != _SCHEMA:
            raise InvalidInput(f"this is not {_SCHEMA}")
        listed = [_checked(*row) for row in document["members"]]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise InvalidInput("this is no pack") from exc
    if len(listed) > PACK_MEMBERS_MAX:
        raise InvalidInput(f"a pack of more than {PACK_MEMBERS_MAX} members")
    members = tuple(_placed(listed, len(head) + 1))
    end = members[-1].offset + members[-1].size_bytes if members else len(head) + 1
    if end != len(content):
        raise InvalidInput(f"a pack of {len(content)} bytes says that it has {end}")
    return members


def is_intact(member: PackMember, content: bytes) -> bool:
    """Whether this is what the pack says of it."""
    return hash_content(content) == member.hash and hashlib.sha256(content).hexdigest() == member.sha256


def is_pack_name(text: str) -> bool:
    """Whether a pack can have this name."""
    return _SHA256.fullmatch(text) is not None


def _placed(listed: Sequence[tuple[BlobHash, str, int]], start: int) -> Iterator[PackMember]:
    offset = start
    for blob, sha256, size_bytes in listed:
        yield PackMember(blob, sha256, offset, size_bytes)
        offset += size_bytes


def _checked(blob: object, sha256: object, size_bytes: object) -> tuple[BlobHash, str, int]:
    if not (isinstance(blob, str) and isinstance(sha256, str) and type(size_bytes) is int):
        raise InvalidInput("a member of a pack is not named as it should be")
    hash_ = parse_blob_hash(blob)
    if hash_.endswith(TREE_SUFFIX) or not _SHA256.fullmatch(sha256) or not 0 <= size_bytes <= PACK_BYTES_MAX:
        raise InvalidInput("a member of a pack is not what it can be")
    return hash_, sha256, size_bytes
