"""What .dvc files and dvc.lock record of one file or folder: by DVC 3, by DVC 2, or for a cloud that keeps versions.

DVC compares content by MD5. Versions and ETags say where a cloud has the content, not what it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wherry.service.domain.blob import BlobHash, parse_blob_hash
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.errors import DigestMalformed
from wherry.service.domain.tree import Tree, TreeEntry

_CHECKSUM_KEYS = frozenset({"md5", "etag", "checksum"})
_META_KEYS = frozenset({"size", "nfiles", "isexec", "version_id"})
CONTENT_KEYS = _CHECKSUM_KEYS | _META_KEYS | {"hash", "cloud", "files"}
"""Keys of an entry that say something about its content."""

# In the order in which DVC writes them for a cloud.
_VERSION_KEYS = ("etag", "checksum", "version_id")

_MEMBER_KEYS = _CHECKSUM_KEYS | _META_KEYS | {"relpath", "cloud"}
_CHECKSUM_CHARACTERS_MIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedContent:
    """What an entry says of the content."""

    hash: BlobHash | None
    """None: nothing that DVC could compare."""
    is_legacy: bool
    """Whether the hash is one of DVC 2."""
    total_bytes: int | None
    nfiles: int | None
    executable: bool
    versioned: Mapping[str, Any] | None
    """What DVC writes behind the hash of a file of which a cloud keeps versions."""


def read_content(fields: Mapping[str, Shape]) -> RecordedContent:
    """Read an entry's fields.

    Raises:
        PipelineInvalid: with the place, if DVC would refuse one.
    """
    kind = fields["hash"].text() if "hash" in fields else None
    said = fields
    if "cloud" in fields or "files" in fields or "etag" in fields or "checksum" in fields:
        _check_texts(fields)
        said = _with_cloud(fields)
    members = fields["files"].items() if "files" in fields else ()
    total_bytes = said["size"].number() if "size" in said else None
    nfiles = said["nfiles"].number() if "nfiles" in said else None
    if members:
        blob, total_bytes, nfiles = _read_members(members)
        # DVC takes a list of files without `hash: md5` for changed, whatever is there.
        blob = blob if kind == "md5" else None
    else:
        # Of another kind than MD5 DVC finds no value here.
        blob = _read_md5(said) if kind in {None, "md5"} else None
    return RecordedContent(
        hash=blob,
        is_legacy=kind is None,
        total_bytes=total_bytes,
        nfiles=nfiles,
        executable=said["isexec"].flag() if "isexec" in said else False,
        versioned=_versioned(said) if "version_id" in said and not members else None,
    )


def _versioned(said: Mapping[str, Shape]) -> Mapping[str, Any]:
    """What is said of one version, as DVC writes it: sizes first, and of a cloud's copy what the cloud says."""
    written = {key: said[key].value for key in ("size", "nfiles") if key in said}
    if "isexec" in said and said["isexec"].value:
        written["isexec"] = True
    names = {key: said[key].value for key in _VERSION_KEYS if key in said and said[key].value}
    if "cloud" not in said:
        return written | {key: names[key] for key in ("version_id", "etag", "checksum") if key in names}
    return written | ({"cloud": dict.fromkeys(said["cloud"].mapping(), names)} if names else {})


def _read_md5(fields: Mapping[str, Shape]) -> BlobHash | None:
    md5 = fields.get("md5")
    # DVC takes both for none.
    if md5 is None or md5.value is None or md5.value == "":
        return None
    if isinstance(md5.value, int):
        raise md5.refuse(
            "an MD5 of digits only is read as a number", hint=f"Put it in quotes: '{md5.value:032}'."
        )
    try:
        return parse_blob_hash(md5.text())
    except DigestMalformed as exc:
        raise md5.refuse(f"{md5.value!r} is no MD5 as DVC writes it") from exc


def _read_members(members: Iterable[Shape]) -> tuple[BlobHash | None, int, int]:
    """Hash, size and number of files of a folder that is written out file by file."""
    entries: list[TreeEntry] = []
    total_bytes = count = 0
    for member in members:
        fields = member.fields(_MEMBER_KEYS)
        if "relpath" not in fields:
            raise member.refuse("a file of the folder has no relpath")
        _check_texts(fields)
        fields = _with_cloud(fields)
        count += 1
        total_bytes += fields["size"].number() if "size" in fields else 0
        blob = _read_md5(fields)
        if blob is not None:
            entries.append(TreeEntry(fields["relpath"].text(), blob))
    return Tree.of(entries).digest().hash if len(entries) == count else None, total_bytes, count


def _with_cloud(fields: Mapping[str, Shape]) -> Mapping[str, Shape]:
    """What is said of the copy in the cloud is said of the content, and goes before what stands beside it."""
    if "cloud" not in fields:
        return fields
    clouds = fields["cloud"].mapping()
    if len(clouds) > 1:
        raise fields["cloud"].refuse("the content is in more than one cloud")
    merged = dict(fields)
    for name, value in clouds.items():
        said = fields["cloud"].inner(name, value).fields(_CHECKSUM_KEYS | _META_KEYS)
        _check_texts(said)
        merged |= said
    return merged


def _check_texts(fields: Mapping[str, Shape]) -> None:
    if "version_id" in fields:
        fields["version_id"].text()
    for key in ("etag", "checksum"):
        value = fields.get(key)
        if value is None or value.value is None or value.value == "":
            continue
        # DVC takes a number for the text of its digits.
        text = str(value.value) if isinstance(value.value, int) else value.text()
        if len(text) < _CHECKSUM_CHARACTERS_MIN:
            raise value.refuse(f"{key} must have {_CHECKSUM_CHARACTERS_MIN} characters or more")
