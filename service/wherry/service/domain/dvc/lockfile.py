"""dvc.lock: read, compared, and written to the byte as DVC 3.67 writes it."""

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wherry.service.domain.dvc.emit import dump_yaml, load_for_edit
from wherry.service.domain.dvc.plain_emit import NotPlain, emit_mapping, has_shared
from wherry.service.domain.dvc.recorded_hash import CONTENT_KEYS, read_content
from wherry.service.domain.dvc.run_cache import entry_mapping
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.written_lock import read_written_lock
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, StageEntry

SCHEMA_VERSION = "2.0"
_PLAIN_HEAD = f"schema: '{SCHEMA_VERSION}'\nstages:\n"

_NEW_LOCK = "Delete it; the next run writes a new one."

_STAGE_KEYS = frozenset({"cmd", "deps", "params", "outs"})
_FILE_KEYS = CONTENT_KEYS | {"path", "dataset"}

# An "&" that begins a word; those of shell commands come in pairs or alone.
_ANCHOR = re.compile(rb"(?<![&\w])&\w")


# Fewer stages are written one after another: checking whether they need be costs as much.
_PASSES_WORTH_SAVING = 4


def parse_lock(data: bytes, path: ProjectPath) -> Mapping[str, StageEntry]:
    """Read what each stage stood on and produced, by the stage's key in the dvc.yaml beside the lock.

    Deps and outs without an MD5 are left out of their stage's entry: nothing can match them. Those with hashes of
    DVC 2 are marked.

    Raises:
        PipelineInvalid: with the place, if DVC would refuse the file.
    """
    written = read_written_lock(data.decode("utf-8", "replace"))
    return read_any_lock(data, path) if written is None else written


def read_any_lock(data: bytes, path: ProjectPath) -> Mapping[str, StageEntry]:
    """Read a lock as any YAML, as `parse_lock` says.

    Raises:
        PipelineInvalid: as `parse_lock`.
    """
    document = parse_yaml(data, path)
    root = Shape(document, (), {} if document.value is None else document.value, path)
    if not root.mapping():
        # Unlike an empty dvc.yaml.
        raise root.refuse("DVC refuses a lock that is empty", hint=_NEW_LOCK)
    if "schema" not in root.mapping():
        raise root.refuse("it has no schema, like locks of DVC 1; DVC 3 refuses it", hint=_NEW_LOCK)
    fields = root.fields({"schema", "stages", "datasets"})
    if fields["schema"].value != SCHEMA_VERSION:
        raise fields["schema"].refuse(
            f"the schema of a lock must be '{SCHEMA_VERSION}', as text", hint=_NEW_LOCK
        )
    if "stages" not in fields:
        return {}
    stages = fields["stages"]
    return {
        key: _read_stage(stages.inner(key, value, f"{path}, stage {key!r}"), key)
        for key, value in stages.mapping().items()
    }


def _read_stage(shape: Shape, key: str) -> StageEntry:
    try:
        return _read_entry(shape)
    except PipelineInvalid as exc:
        hint = f"Bring back what DVC wrote, or take the entry {key!r} out: the next run writes it anew."
        raise PipelineInvalid(exc.message, hint=f"{exc.hint} {hint}".strip(), place=exc.place) from exc


def parse_run_entry(data: bytes, path: str) -> StageEntry:
    """Read an entry of DVC's run cache, which is a stage as dvc.lock has it; `path` is for messages.

    Raises:
        PipelineInvalid: if DVC would refuse it.
    """
    place = ProjectPath(path)
    document = parse_yaml(data, place)
    return _read_entry(Shape(document, (), document.value, place))


def _read_entry(shape: Shape) -> StageEntry:
    fields = shape.fields(_STAGE_KEYS)
    if "cmd" not in fields:
        raise shape.refuse("it has no cmd")
    cmd = fields["cmd"]
    params = fields.get("params")
    return StageEntry(
        cmd=tuple(item.value for item in cmd.items()) if isinstance(cmd.value, list) else cmd.text(),
        deps=_read_files(fields.get("deps")),
        params={file: dict(params.inner(file, values).mapping()) for file, values in params.mapping().items()}
        if params is not None
        else {},
        outs=_read_files(fields.get("outs")),
    )


def _read_files(section: Shape | None) -> tuple[FileEntry, ...]:
    items = section.items() if section is not None else ()
    files = [_read_file(item) for item in items]
    return tuple(file for file in files if file is not None)


def _read_file(item: Shape) -> FileEntry | None:
    fields = item.fields(_FILE_KEYS)
    if "path" not in fields:
        raise item.refuse("it has no path")
    path = fields["path"].text()
    content = read_content(fields)
    if content.hash is None:
        return None
    return FileEntry(
        path=path,
        hash=content.hash,
        size_bytes=content.total_bytes or 0,
        nfiles=content.nfiles,
        executable=content.executable,
        is_legacy=content.is_legacy,
        versioned=content.versioned,
    )


def update_lock(data: bytes | None, entries: Mapping[str, StageEntry], path: ProjectPath) -> bytes:
    """Write entries into a lock, in their order: known stages keep their position, new ones are appended.

    Comments and all else that the file holds survive. The bytes are those that DVC leaves when it runs these
    stages one after another, loading and dumping the file for each.

    Raises:
        PipelineInvalid: with the place, if `data` is a lock that DVC would refuse.
    """
    known = {} if data is None else parse_lock(data, path)
    plain = _update_plain(data, known, entries)
    if plain is not None:
        return plain
    # Copied, so that a value that two stages share is not taken for an alias; within a stage it stays one.
    mappings = {key: copy.deepcopy(entry_mapping(entry)) for key, entry in entries.items()}
    if not mappings:
        return _write_once(data, {}, path)
    anchors = (data is not None and _ANCHOR.search(data)) or any(map(has_shared, mappings.values()))
    written = None if anchors else _write_in_two(data, mappings, path)
    if written is not None:
        return written
    for key, mapping in mappings.items():
        data = _write_once(data, {key: mapping}, path)
    assert data is not None
    return data


def _update_plain(
    data: bytes | None, known: Mapping[str, StageEntry], entries: Mapping[str, StageEntry]
) -> bytes | None:
    """The same, where neither the lock nor the entries need what ruamel.yaml knows; else None."""
    try:
        if data is not None and _write_plain(known) != data:
            return None
        return _write_plain({**known, **entries})
    except NotPlain:
        return None


def _write_plain(entries: Mapping[str, StageEntry]) -> bytes:
    if not entries:
        raise NotPlain
    # One by one: a value that two stages share is no alias.
    stages = [emit_mapping({key: entry_mapping(entry)}, 2) for key, entry in entries.items()]
    return (_PLAIN_HEAD + "".join(stages)).encode()


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
