"""dvc.lock: read, compared, and written to the byte as DVC 3.67 writes it."""

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wherry.service.domain.blob import parse_blob_hash
from wherry.service.domain.dvc.emit import dump_yaml, load_for_edit
from wherry.service.domain.dvc.run_cache import entry_mapping
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.written_lock import read_written_lock
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import DigestMalformed
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, StageEntry

SCHEMA_VERSION = "2.0"

_STAGE_KEYS = frozenset({"cmd", "deps", "params", "outs"})
_FILE_KEYS = frozenset(
    {
        *("path", "md5", "etag", "checksum", "size", "nfiles", "isexec", "version_id", "hash"),
        *("cloud", "files", "dataset"),
    }
)


# An "&" that begins a word; those of shell commands come in pairs or alone.
_ANCHOR = re.compile(rb"(?<![&\w])&\w")


# Fewer stages are written one after another: checking whether they need be costs as much.
_PASSES_WORTH_SAVING = 4


def parse_lock(data: bytes, path: ProjectPath, *, legacy: bool = False) -> Mapping[str, StageEntry]:
    """Read what each stage stood on and produced, by the stage's key in the dvc.yaml beside the lock.

    Deps and outs recorded with hashes of DVC 2, with a cloud's versions or without a hash are left out of their
    stage's entry: nothing can match them. With `legacy` hashes of DVC 2 are kept: they are the MD5 of the content,
    unless it is text with CR LF line ends.

    Raises:
        PipelineInvalid: with the place, if DVC would refuse the file.
    """
    written = read_written_lock(data.decode("utf-8", "replace"))
    return read_any_lock(data, path, legacy=legacy) if written is None else written


def read_any_lock(data: bytes, path: ProjectPath, *, legacy: bool = False) -> Mapping[str, StageEntry]:
    """Read a lock as any YAML, as `parse_lock` says.

    Raises:
        PipelineInvalid: as `parse_lock`.
    """
    document = parse_yaml(data, path)
    # DVC takes an empty file for none.
    root = Shape(document, (), document.value or {}, path)
    fields = root.fields({"schema", "stages", "datasets"})
    if not fields:
        return {}
    if "schema" not in fields or fields["schema"].value != SCHEMA_VERSION:
        raise fields.get("schema", root).refuse(
            f"the schema of a lock must be '{SCHEMA_VERSION}'", hint="Re-create it with DVC 3: `dvc commit`."
        )
    if "stages" not in fields:
        return {}
    stages = fields["stages"]
    return {
        key: _read_entry(stages.inner(key, value, f"{path}, stage {key!r}"), legacy=legacy)
        for key, value in stages.mapping().items()
    }


def _read_entry(shape: Shape, *, legacy: bool) -> StageEntry:
    fields = shape.fields(_STAGE_KEYS)
    if "cmd" not in fields:
        raise shape.refuse("it has no cmd")
    cmd = fields["cmd"]
    params = fields.get("params")
    return StageEntry(
        cmd=tuple(item.value for item in cmd.items()) if isinstance(cmd.value, list) else cmd.text(),
        deps=_read_files(fields.get("deps"), legacy=legacy),
        params={file: dict(params.inner(file, values).mapping()) for file, values in params.mapping().items()}
        if params is not None
        else {},
        outs=_read_files(fields.get("outs"), legacy=legacy),
    )


def _read_files(section: Shape | None, *, legacy: bool) -> tuple[FileEntry, ...]:
    items = section.items() if section is not None else ()
    files = [_read_file(item, legacy=legacy) for item in items]
    return tuple(file for file in files if file is not None)


def _read_file(item: Shape, *, legacy: bool) -> FileEntry | None:
    fields = item.fields(_FILE_KEYS)
    if "path" not in fields:
        raise item.refuse("it has no path")
    md5 = fields.get("md5")
    # DVC 2 wrote no name of the hash.
    named = fields["hash"].text() == "md5" if "hash" in fields else legacy
    if not named or md5 is None or not md5.value:
        return None
    try:
        blob = parse_blob_hash(md5.text())
    except DigestMalformed as exc:
        raise md5.refuse(f"{md5.value!r} is no MD5 as DVC writes it") from exc
    return FileEntry(
        path=fields["path"].text(),
        hash=blob,
        size_bytes=fields["size"].number() if "size" in fields else 0,
        nfiles=fields["nfiles"].number() if "nfiles" in fields else None,
        executable=fields["isexec"].flag() if "isexec" in fields else False,
    )


def update_lock(data: bytes | None, entries: Mapping[str, StageEntry], path: ProjectPath) -> bytes:
    """Write entries into a lock, in their order: known stages keep their position, new ones are appended.

    Comments and all else that the file holds survive. The bytes are those that DVC leaves when it runs these
    stages one after another, loading and dumping the file for each.

    Raises:
        PipelineInvalid: with the place, if `data` is a lock that DVC would refuse.
    """
    if data is not None:
        parse_lock(data, path)
    # Copied, so that a value that two stages share is not taken for an alias; within a stage it stays one.
    mappings = {key: copy.deepcopy(entry_mapping(entry)) for key, entry in entries.items()}
    if not mappings:
        return _write_once(data, {}, path)
    anchors = (data is not None and _ANCHOR.search(data)) or any(map(_has_shared, mappings.values()))
    written = None if anchors else _write_in_two(data, mappings, path)
    if written is not None:
        return written
    for key, mapping in mappings.items():
        data = _write_once(data, {key: mapping}, path)
    assert data is not None
    return data


def _write_once(data: bytes | None, entries: Mapping[str, dict[str, Any]], path: ProjectPath) -> bytes:
    document = (load_for_edit(data, path) if data is not None else None) or {}
    if not document:
        document["schema"] = SCHEMA_VERSION
    document["stages"] = document.get("stages", {})
    document["stages"].update(entries)
    return dump_yaml(document)


def _write_in_two(
    data: bytes | None, entries: Mapping[str, dict[str, Any]], path: ProjectPath
) -> bytes | None:
    """Write all but the last entry in one pass, then the last: the bytes of many passes, where that holds.

    It holds when loading and dumping what was loaded and dumped once changes nothing. It does not for some long
    floats, which ruamel.yaml alters each time, nor for anchors, whose names depend on what is there; then None.
    """
    *first, last = entries
    if len(first) < _PASSES_WORTH_SAVING:
        return None
    written = _write_once(data, {key: entries[key] for key in first}, path)
    settled = _write_once(written, {}, path)
    if _write_once(settled, {}, path) != settled:
        return None
    return _write_once(written, {last: entries[last]}, path)


def _has_shared(mapping: Mapping[str, Any]) -> bool:
    """Whether a list or mapping is held twice."""
    seen: set[int] = set()
    stack: list[Any] = [mapping]
    while stack:
        value = stack.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) in seen:
                return True
            seen.add(id(value))
            stack.extend(value.values() if isinstance(value, dict) else value)
    return False


def is_unchanged(recorded: StageEntry, current: StageEntry, *, whole_files: Collection[str] = ()) -> bool:
    """Whether DVC would say that a stage did not change, outputs included.

    What is recorded beyond what is current does not count, except in `whole_files`, the parameters files that the
    stage reads whole. Numbers compare as in Python: 1, 1.0 and true are equal, NaN never is. Whether the stage
    always runs is for the caller to know.
    """
    return (
        recorded.cmd == current.cmd
        and _files_equal(recorded.deps, current.deps)
        and all(
            _params_equal(recorded.params.get(file), values, whole=file in whole_files)
            for file, values in current.params.items()
        )
        and _files_equal(recorded.outs, current.outs)
    )


def _files_equal(recorded: Sequence[FileEntry], current: Sequence[FileEntry]) -> bool:
    hashes = {file.path: file.hash for file in recorded}
    return all(hashes.get(file.path) == file.hash for file in current)


def _params_equal(recorded: Mapping[str, Any] | None, current: Mapping[str, Any], *, whole: bool) -> bool:
    if recorded is None or (whole and recorded.keys() - current.keys()):
        return False
    return all(key in recorded and values_equal(recorded[key], value) for key, value in current.items())


def values_equal(recorded: Any, current: Any) -> bool:
    """Whether DVC takes a parameter for unchanged: Python's equality, so 1, 1.0 and true are equal, NaN never is.

    A tuple, which a Python file may hold, equals the list that the lock has of it; one inside another does not.
    """
    if isinstance(current, tuple) and list(current) == recorded:
        return True
    return bool(recorded == current)
