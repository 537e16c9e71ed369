"""The document in which the project of a run is kept: wherry.snapshot/1, JSON, the same bytes for the same project."""

import json
from collections.abc import Mapping
from typing import Any

from wherry.service.domain.blob import Digest, parse_blob_hash
from wherry.service.domain.dvc.view import PlacedData
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.paths import ProjectPath, Surroundings
from wherry.service.domain.snapshot import Snapshot, SnapshotData, SnapshotFile

_SCHEMA = "wherry.snapshot/1"


def write_snapshot(snapshot: Snapshot, placed: Mapping[ProjectPath, PlacedData]) -> bytes:
    """Write a project and the data that stands in it."""
    document = {
        "schema": _SCHEMA,
        "root": snapshot.around.root,
        "levels": snapshot.around.levels,
        "files": [
            [path, file.hash, file.size_bytes, file.executable]
            for path, file in sorted(snapshot.files.items())
        ],
        "data": [
            [path, data.hash, data.total_bytes, data.nfiles, data.executable]
            for path, data in sorted(placed.items())
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read_snapshot(content: bytes) -> Snapshot:
    """Read what write_snapshot wrote.

    Raises:
        InvalidInput: if it is something else.
    """
    try:
        document = json.loads(content)
        if document["schema"] != _SCHEMA:
            raise InvalidInput(f"this is not {_SCHEMA}")
        return Snapshot(
            files={
                ProjectPath(path): SnapshotFile(
                    hash=parse_blob_hash(hash_), size_bytes=size_bytes, executable=executable
                )
                for path, hash_, size_bytes, executable in document["files"]
            },
            data={ProjectPath(row[0]): _data(row) for row in document["data"]},
            around=Surroundings(document["root"], document["levels"]),
        )
    except (ValueError, TypeError, KeyError) as exc:
        raise InvalidInput("what was kept of a run's project cannot be read") from exc


def _data(row: Any) -> SnapshotData:
    _, hash_, total_bytes, nfiles, executable = row
    return SnapshotData(
        # The size of a tree's own JSON is not kept: nobody asks for it.
        digest=Digest(parse_blob_hash(hash_), total_bytes),
        total_bytes=total_bytes,
        nfiles=nfiles,
        executable=executable,
    )
