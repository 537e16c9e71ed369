"""Hashes of DVC 2: what they are of, and what dvc.lock gets of them."""

import hashlib
import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wherry.client.data import look_up
from wherry.client.hashing import Hasher
from wherry.client.ignore import IgnoreRules
from wherry.client.memory import StateMemory
from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.dvc.legacy_hash import (
    READ_BYTES,
    LegacyHasher,
    as_recorded,
    legacy_tree_hash,
    undecided,
)
from wherry.service.domain.records import FileEntry
from wherry.service.domain.tree import Tree, TreeEntry

# What counts as text, written down a second time and otherwise.
_PRINTABLE = {*map(ord, string.printable)} - {0x0B} | {0x08}

_PIECES = st.sampled_from([b"\r\n", b"\r", b"\n", b"word ", b"\xff", b"\x00", b"\x0b", b"\x1b", b"\xc3\xa9"])


def _reference(data: bytes) -> str:
    reads = [data[at : at + 2**20] for at in range(0, len(data), 2**20)]
    return hashlib.md5(b"".join(map(_converted, reads))).hexdigest()


def _converted(read: bytes) -> bytes:
    head = read[:512]
    odd = sum(byte not in _PRINTABLE for byte in head)
    return read if 0 in head or odd / len(head) > 0.30 else re.sub(rb"\r\n", b"\n", read)


def _legacy(data: bytes) -> BlobHash:
    hasher = LegacyHasher()
    for at in range(0, len(data), READ_BYTES):
        hasher.update(data[at : at + READ_BYTES])
    return hasher.hash()


# Around the length that is looked at; longer than one read in the examples.
@given(
    fill=st.sampled_from([b"", b"a", b"\r\n", b"b\r\n", b"\xe9a", b"\xe9abc\r\n"]),
    times=st.integers(0, 520),
    rest=st.lists(_PIECES, max_size=30).map(b"".join),
)
@example(fill=b"a\r\n", times=7, rest=b"\xff" * 9)
@example(fill=b"a\r\n", times=7, rest=b"\xff" * 10)
@settings(deadline=None)
@example(fill=b"a", times=READ_BYTES - 1, rest=b"\r\nb\r\n")
@example(fill=b"a\r\n", times=200, rest=b"\0")
@example(fill=b"a\r\n", times=READ_BYTES // 2, rest=b"\0")
@example(fill=b"\0" * 512 + b"\r\n" * 256, times=1024, rest=b"a\r\n")
def test_the_hash_is_that_of_the_content_with_the_line_ends_of_text_made_plain(
    fill: bytes, times: int, rest: bytes
) -> None:
    data = fill * times + rest
    assert _legacy(data) == _reference(data)
    if b"\r\n" not in data:
        assert _legacy(data) == hash_content(data)


@pytest.mark.parametrize("size", [0, 3, 511, 512, 513, READ_BYTES - 1, READ_BYTES, 3 * READ_BYTES + 5])
def test_the_client_finds_the_hash_that_the_service_finds(tmp_path: Path, size: int) -> None:
    content = (b"some\r\nlines\n\xc3\xa9\r\n" * (size // 17 + 1))[:size]
    (tmp_path / "one").write_bytes(content)
    (tmp_path / "many" / "deep").mkdir(parents=True)
    (tmp_path / "many" / "deep" / "a").write_bytes(content)
    (tmp_path / "many" / "b").write_bytes(b"\0" + content)
    hasher, rules = Hasher(StateMemory(tmp_path / "state.db")), IgnoreRules(tmp_path)
    members = {"deep/a": _legacy(content), "b": _legacy(b"\0" + content)}

    assert look_up(tmp_path, "one", rules, hasher).hash_as_dvc_2(hasher) == _legacy(content)
    tree = Tree.of(TreeEntry(path, blob) for path, blob in members.items())
    assert look_up(tmp_path, "many", rules, hasher).hash_as_dvc_2(hasher) == tree.digest().hash
    assert look_up(tmp_path, "none", rules, hasher).hash_as_dvc_2(hasher) == ""


def test_a_folder_is_hashed_by_the_hashes_of_its_files() -> None:
    tree = Tree.of([TreeEntry("z", BlobHash("1" * 32)), TreeEntry("a/b", BlobHash("2" * 32))])
    legacy = {BlobHash("1" * 32): BlobHash("3" * 32), BlobHash("2" * 32): BlobHash("2" * 32)}

    expected = json.dumps([{"md5": "2" * 32, "relpath": "a/b"}, {"md5": "3" * 32, "relpath": "z"}])

    assert legacy_tree_hash(tree, legacy) == hashlib.md5(expected.encode()).hexdigest() + ".dir"
    with pytest.raises(KeyError):
        legacy_tree_hash(tree, {})


def _entry(path: str, digit: str, *, legacy: bool = False, size: int = 10) -> FileEntry:
    return FileEntry(path=path, hash=BlobHash(digit * 32), size_bytes=size, is_legacy=legacy)


def test_what_is_recorded_under_a_hash_of_dvc_2_keeps_it_until_it_changes() -> None:
    recorded = [
        _entry("plain", "1", legacy=True),
        _entry("windows", "2", legacy=True),
        _entry("changed", "3", legacy=True),
        _entry("new", "4"),
    ]
    current = [_entry("plain", "1"), _entry("windows", "5"), _entry("changed", "6"), _entry("new", "7")]
    legacy = {BlobHash(own * 32): BlobHash(old * 32) for own, old in [("5", "2"), ("6", "6"), ("7", "4")]}

    assert as_recorded(current, recorded, legacy) == (
        _entry("plain", "1", legacy=True),
        _entry("windows", "2", legacy=True),
        _entry("changed", "6"),
        _entry("new", "7"),
    )


def test_only_what_could_be_the_same_is_read_for_its_hash_of_dvc_2() -> None:
    recorded = [
        _entry("plain", "1", legacy=True),
        _entry("windows", "2", legacy=True),
        _entry("longer", "2", legacy=True, size=4),
        _entry("without a size", "2", legacy=True, size=0),
        _entry("of DVC 3", "2"),
        FileEntry(path="folder", hash=BlobHash("2" * 32 + ".dir"), size_bytes=10, is_legacy=True),
    ]
    current = [_entry(file.path, "1") for file in recorded] + [_entry("more", "1")]

    assert [file.path for file in undecided(recorded, current)] == ["windows", "without a size"]
