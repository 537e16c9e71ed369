"""What a laptop pushed is found in the bucket, with few requests."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import BlobHash, hash_content, object_key
from wherry.service.domain.errors import StoreUnavailable
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.read_blobs import ReadBlobs


class Bucket:
    """A bucket that others write to, and the index in front of it."""

    def __init__(self, tmp_path: Path) -> None:
        self.objects, self.index = FakeObjectStore(), FakeBlobIndex()
        node = LocalNodeCache(tmp_path / "node", store=self.objects)
        self.adopt = AdoptBlobs(index=self.index, objects=self.objects, read=ReadBlobs(node))

    def push(self, content: bytes) -> BlobHash:
        name = hash_content(content)
        self.objects.objects[object_key(name)] = content
        return name

    def push_tree(self, members: Sequence[BlobHash]) -> BlobHash:
        return self.push_under_tree_name(
            Tree.of(TreeEntry(f"{number:05}", member) for number, member in enumerate(members)).to_bytes()
        )

    def push_under_tree_name(self, content: bytes) -> BlobHash:
        name = BlobHash(hash_content(content) + ".dir")
        self.objects.objects[object_key(name)] = content
        return name

    def missing(self, *hashes: BlobHash) -> set[BlobHash]:
        return asyncio.run(self.adopt.find_missing(hashes))

    def is_known(self, *hashes: BlobHash) -> bool:
        return not asyncio.run(self.index.find_missing(hashes))


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path)


def test_what_was_pushed_is_held_with_its_size_and_asked_for_once(bucket: Bucket) -> None:
    pushed, absent = bucket.push(b"content"), hash_content(b"absent")

    assert bucket.missing(pushed, absent) == {absent}
    record = bucket.index.records[pushed]
    assert (record.size_bytes, record.sha256) == (7, None)
    listings = bucket.objects.listings
    assert bucket.missing(pushed) == set()
    assert bucket.objects.listings == listings, "the index knows it now"


def test_a_tree_is_held_with_all_its_members_only(bucket: Bucket) -> None:
    here, there = bucket.push(b"here"), hash_content(b"there")
    tree = bucket.push_tree([here, there])

    assert bucket.missing(tree) == {tree}
    assert not bucket.is_known(tree)
    assert bucket.is_known(here)
    bucket.push(b"there")
    assert bucket.missing(tree) == set()
    assert bucket.is_known(tree, here, there)


def test_what_is_no_tree_or_lists_trees_is_not_held_as_one(bucket: Bucket) -> None:
    inner = bucket.push_tree([bucket.push(b"x")])
    no_json = bucket.push_under_tree_name(b"no json")
    escaping = bucket.push_under_tree_name(
        json.dumps([{"md5": hash_content(b"x"), "relpath": "../x"}]).encode()
    )
    nested = bucket.push_tree([inner])
    damaged = BlobHash(hash_content(b"other") + ".dir")
    bucket.objects.objects[object_key(damaged)] = b"[]"

    assert bucket.missing(no_json, escaping, nested, damaged, inner) == {no_json, escaping, nested, damaged}


def test_a_few_blobs_cost_a_request_each_however_full_the_bucket_is(bucket: Bucket) -> None:
    pushed = [bucket.push(str(number).encode()) for number in range(5_000)]

    assert bucket.missing(*pushed[:3], hash_content(b"absent")) == {hash_content(b"absent")}
    assert bucket.objects.listings <= 4


def test_many_blobs_cost_about_one_listing_of_the_bucket(bucket: Bucket) -> None:
    pushed = [bucket.push(str(number).encode()) for number in range(20_000)]
    absent = [hash_content(f"absent {number}".encode()) for number in range(1_000)]

    assert bucket.missing(*pushed, *absent) == set(absent)
    # 20 pages if it were one listing from its beginning; eight parts begin small and end within a page.
    assert bucket.objects.listings <= 60


def test_many_blobs_that_an_empty_bucket_lacks_cost_a_request_for_each_part(bucket: Bucket) -> None:
    absent = {hash_content(str(number).encode()) for number in range(20_000)}

    assert bucket.missing(*absent) == absent
    assert bucket.objects.listings <= 8


def test_all_members_of_many_trees_are_looked_up_together(bucket: Bucket) -> None:
    trees = [
        bucket.push_tree([bucket.push(f"{tree} {member}".encode()) for member in range(50)])
        for tree in range(40)
    ]

    assert bucket.missing(*trees) == set()
    assert len(bucket.index.records) == 40 * 51
    assert bucket.objects.listings < 120


def test_a_bucket_that_does_not_answer_is_no_empty_bucket(bucket: Bucket) -> None:
    pushed = bucket.push(b"content")
    bucket.objects.is_down = True

    with pytest.raises(StoreUnavailable):
        bucket.missing(pushed)
    bucket.objects.is_down = False
    assert bucket.missing(pushed) == set()
