"""What is kept of a run's project comes back as it was."""

import pytest

from wherry.service.domain.blob import Digest, hash_content
from wherry.service.domain.dvc.view import PlacedData
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.paths import ProjectPath, Surroundings
from wherry.service.domain.snapshot import Snapshot, SnapshotData, SnapshotFile
from wherry.service.domain.snapshot_document import read_snapshot, write_snapshot

_HASH = hash_content(b"a")
_FILES = {
    ProjectPath("run.sh"): SnapshotFile(hash=_HASH, size_bytes=1, executable=True),
    ProjectPath("käse/x"): SnapshotFile(hash=_HASH, size_bytes=1),
}
_PLACED = {ProjectPath("data"): PlacedData(hash=_HASH, total_bytes=7, nfiles=2)}


def test_a_project_comes_back_with_its_data() -> None:
    given = Snapshot(files=_FILES, data={}, around=Surroundings("/home/ana/p", 1))
    found = read_snapshot(write_snapshot(given, _PLACED))
    data = SnapshotData(digest=Digest(_HASH, 7), total_bytes=7, nfiles=2)
    assert found == Snapshot(files=_FILES, data={ProjectPath("data"): data}, around=given.around)


def test_the_order_of_files_makes_no_difference() -> None:
    there = Snapshot(files=_FILES, data={})
    back = Snapshot(files=dict(reversed(_FILES.items())), data={})
    assert write_snapshot(there, {}) == write_snapshot(back, {})


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"schema": "other"}', b'{"schema": "wherry.snapshot/1", "files": [1]}']
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_snapshot(content)
