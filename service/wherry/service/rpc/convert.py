"""Submissions from the wire and needs to it. Everything from the wire is checked and bounded here."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from wherry.service.domain.blob import (
    PACKED_HASH_BYTES,
    TREE_SUFFIX,
    BlobHash,
    Digest,
    parse_blob_hash,
    parse_packed_hashes,
)
from wherry.service.domain.errors import DigestMalformed, InvalidInput, Place, TooMany
from wherry.service.domain.limits import (
    DIGESTS_PER_CALL_MAX,
    MESSAGE_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    PACKED_HASHES_PER_CALL_MAX,
    SET_PARAMS_MAX,
    SNAPSHOT_FILES_MAX,
    TARGETS_MAX,
)
from wherry.service.domain.paths import (
    ROOT,
    ProjectPath,
    parse_project_path,
    parse_reachable_path,
    parse_surroundings,
)
from wherry.service.domain.settings import StageSettings, parse_stage_settings
from wherry.service.domain.snapshot import Snapshot, SnapshotData, SnapshotFile
from wherry.service.domain.submission import Composition, Needs, Selection, Submission
from wherry.v1 import blobs_pb2, pipelines_pb2

_COMPOSITION_FROM = {
    pipelines_pb2.COMPOSITION_ALWAYS: Composition.ALWAYS,
    pipelines_pb2.COMPOSITION_NEVER: Composition.NEVER,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 24 * 60 * 60


def digest_from(message: blobs_pb2.BlobDigest) -> Digest:
    """Read a digest."""
    if message.size_bytes < 0:
        raise DigestMalformed(f"blob {message.hash}: a size cannot be {message.size_bytes}")
    return Digest(parse_blob_hash(message.hash), message.size_bytes)


def digests_from(messages: Iterable[blobs_pb2.BlobDigest]) -> list[Digest]:
    """Read a bounded list of digests."""
    digests = [digest_from(message) for message in messages]
    expect_at_most(len(digests), DIGESTS_PER_CALL_MAX, "digests")
    return digests


def packed_hashes_from(data: bytes) -> list[BlobHash]:
    """Read a bounded list of hashes."""
    expect_at_most(len(data) // PACKED_HASH_BYTES, PACKED_HASHES_PER_CALL_MAX, "hashes")
    return parse_packed_hashes(data)


def digest_to(digest: Digest) -> blobs_pb2.BlobDigest:
    """Write a digest."""
    return blobs_pb2.BlobDigest(hash=digest.hash, size_bytes=digest.size_bytes)


def submission_from(message: pipelines_pb2.Submission, user: str) -> Submission:
    """Read a submission by `user`.

    Raises:
        InvalidInput: and its kinds, for everything that is malformed or too much.
    """
    expect_at_most(len(message.targets), TARGETS_MAX, "targets")
    expect_at_most(len(message.set_params), SET_PARAMS_MAX, "parameter changes")
    return Submission(
        project=name_from(message.project, "project") or "project",
        user=user,
        snapshot=_snapshot_from(message.snapshot),
        working_folder=parse_project_path(message.working_folder) if message.working_folder else ROOT,
        targets=tuple(message.targets),
        selection=_selection_from(message.selection),
        set_params=tuple(message.set_params),
        composition=_COMPOSITION_FROM.get(message.composition, Composition.WITH_CHANGES),
        image=message.image[:1024],
        settings=_settings_from(message.settings),
        rev=message.rev[:NAME_CHARACTERS_MAX],
        dirty=message.dirty,
    )


def _settings_from(flags: pipelines_pb2.SettingFlags) -> StageSettings:
    expect_at_most(len(flags.env) + len(flags.secrets), SET_PARAMS_MAX, "variables and secrets")
    given: dict[str, Any] = {
        name: getattr(flags, name) for name in ("cpus", "memory", "gpus", "network") if getattr(flags, name)
    }
    given |= {"env": dict(flags.env)} if flags.env else {}
    given |= {"secrets": list(flags.secrets)} if flags.secrets else {}
    return parse_stage_settings(given, Place(path="the command line"))


def moment(instant: datetime | None) -> Timestamp | None:
    """Write a moment; None stays unset."""
    if instant is None:
        return None
    message = Timestamp()
    write_moment(message, instant)
    return message


def write_moment(message: Timestamp, instant: datetime) -> None:
    """Write a moment where it belongs.

    As Timestamp.FromDatetime does, in a fraction of its time: every event of a run has one.
    """
    since = instant - _EPOCH
    message.seconds, message.nanos = since.days * _DAY_S + since.seconds, since.microseconds * 1000


def name_from(text: str, what: str) -> str:
    """Read a name for people: one line, printable, bounded; empty is allowed."""
    if len(text) > NAME_CHARACTERS_MAX or not text.isprintable():
        raise InvalidInput(
            f"the {what} name must be one printable line of at most {NAME_CHARACTERS_MAX} characters"
        )
    return text.strip()


def note_from(text: str) -> str:
    """Read a note for people, bounded."""
    expect_at_most(len(text), MESSAGE_CHARACTERS_MAX, "characters in a message")
    # PostgreSQL keeps no NUL in a text.
    return text.replace("\0", "")


def expect_at_most(count: int, limit: int, what: str) -> None:
    """Refuse more than a limit.

    Raises:
        TooMany: if there is more.
    """
    if count > limit:
        raise TooMany(f"{count} {what} are more than the {limit} that one call may carry")


def needs_to(needs: Needs) -> pipelines_pb2.Needs:
    """Write what the client must provide."""
    return pipelines_pb2.Needs(
        blobs=[digest_to(digest) for digest in needs.blobs],
        sources=needs.are_sources,
        data=[
            pipelines_pb2.DataNeed(
                path=need.path,
                recorded_hash=need.recorded_hash,
                declared_in=need.declared_in,
                legacy=need.legacy,
            )
            for need in needs.data
        ],
    )


def _selection_from(message: pipelines_pb2.Selection) -> Selection:
    return Selection(
        glob=message.glob,
        recursive=message.recursive,
        single_item=message.single_item,
        whole_pipelines=message.whole_pipelines,
        all_pipelines=message.all_pipelines,
        downstream=message.downstream,
        force_downstream=message.force_downstream,
        output_targets=message.output_targets,
    )


def _snapshot_from(message: pipelines_pb2.Snapshot) -> Snapshot:
    expect_at_most(len(message.files), SNAPSHOT_FILES_MAX, "files")
    expect_at_most(len(message.data), SNAPSHOT_FILES_MAX, "pieces of data")
    around = parse_surroundings(message.surroundings.root, message.surroundings.levels)
    files = {parse_project_path(file.path): _file_from(file) for file in message.files}
    if len(files) != len(message.files):
        raise InvalidInput("a path occurs twice in the snapshot")
    _expect_no_file_is_a_folder(files)
    return Snapshot(
        files=files,
        data={parse_reachable_path(data.path, around): _data_from(data) for data in message.data},
        around=around,
        ignored_elsewhere=message.ignored_elsewhere,
    )


def _expect_no_file_is_a_folder(files: dict[ProjectPath, SnapshotFile]) -> None:
    folders = set[str]()
    for path in files:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    for path in files:
        if path in folders:
            raise InvalidInput(f"{path} is a file and a folder in the snapshot")


def _file_from(message: pipelines_pb2.SnapshotFile) -> SnapshotFile:
    digest = digest_from(message.digest)
    if digest.is_tree:
        raise DigestMalformed(f"{message.path} is a file and cannot have the hash of a folder")
    return SnapshotFile(hash=digest.hash, size_bytes=digest.size_bytes, executable=message.executable)


def _data_from(message: pipelines_pb2.SnapshotData) -> SnapshotData | None:
    if not message.HasField("digest"):
        return None
    digest = digest_from(message.digest)
    if message.total_bytes < 0 or message.nfiles < 0:
        raise InvalidInput(f"{message.path}: sizes and counts cannot be negative")
    legacy_hash = parse_blob_hash(message.legacy_hash) if message.legacy_hash else None
    if legacy_hash is not None and legacy_hash.endswith(TREE_SUFFIX) != digest.is_tree:
        raise DigestMalformed(
            f"{message.path}: the hash of DVC 2 is of another kind than that of the content"
        )
    return SnapshotData(
        digest=digest,
        total_bytes=message.total_bytes,
        nfiles=message.nfiles if digest.is_tree else None,
        executable=message.executable and not digest.is_tree,
        legacy_hash=legacy_hash,
    )
