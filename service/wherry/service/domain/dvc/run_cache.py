"""DVC's own run cache: what it keys on, what it keeps, where.

Its key drops every mapping entry named size or nfiles, parameters included: changing only such a parameter hits.
Wherry publishes entries for laptops and never trusts that key alone; keys.py has its own.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.emit import dump_yaml
from wherry.service.domain.dvc.plain_emit import NotPlain, emit_mapping
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.paths import is_inside_root
from wherry.service.domain.records import FileEntry, OutputKind, Params, StageEntry

_NOT_HASHED = frozenset({"size", "nfiles"})


def entry_mapping(entry: StageEntry) -> dict[str, Any]:
    """Write an entry as DVC does in dvc.lock and in its run cache, keys in DVC's order."""
    mapping: dict[str, Any] = {"cmd": entry.cmd if isinstance(entry.cmd, str) else list(entry.cmd)}
    if entry.deps:
        mapping["deps"] = _file_mappings(entry.deps)
    if entry.params:
        # Only the outer mappings are copied: values that are one object twice become an anchor, as in DVC.
        mapping["params"] = {path: dict(values) for path, values in entry.params.items()}
    if entry.outs:
        mapping["outs"] = _file_mappings(entry.outs)
    return mapping


def _file_mappings(files: tuple[FileEntry, ...]) -> list[dict[str, Any]]:
    return [_file_mapping(file) for file in sorted(files, key=lambda file: file.path)]


def _file_mapping(file: FileEntry) -> dict[str, Any]:
    mapping: dict[str, Any] = {"path": file.path}
    if not file.is_legacy:
        mapping["hash"] = "md5"
    mapping["md5"] = file.hash
    if file.versioned is not None:
        return {**mapping, **file.versioned}
    mapping["size"] = file.size_bytes
    if file.nfiles is not None:
        mapping["nfiles"] = file.nfiles
    if file.executable:
        mapping["isexec"] = True
    return mapping


def cache_key(entry: StageEntry) -> str:
    """Name the folder of a stage's results, 64 hex digits. Of its outputs only the paths count."""
    mapping = entry_mapping(entry)
    mapping["outs"] = [out["path"] for out in mapping.get("outs", [])]
    return _hash(mapping)


def dvc_key_of(stage: Stage, deps: tuple[FileEntry, ...], params: Params) -> str | None:
    """Key of a stage whose inputs are known; None when DVC would not keep it."""
    if not is_eligible(stage, params):
        return None
    outs = tuple(
        FileEntry(path=out.path, hash=BlobHash(""), size_bytes=0)
        for out in sorted(stage.outs, key=lambda out: out.path)
    )
    return cache_key(StageEntry(cmd=stage.cmd, deps=deps, params=params, outs=outs))


def cache_value(entry: StageEntry) -> str:
    """Name one result within its folder, 64 hex digits."""
    return _hash(entry_mapping(entry))


def _hash(mapping: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_strip(mapping), sort_keys=True).encode()).hexdigest()


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strip(inner) for key, inner in value.items() if key not in _NOT_HASHED}
    if isinstance(value, list | tuple):
        return [_strip(inner) for inner in value]
    return value


def entry_bytes(entry: StageEntry) -> bytes:
    """The content of the file that DVC keeps for a result."""
    mapping = entry_mapping(entry)
    try:
        return emit_mapping(mapping, 0).encode()
    except NotPlain:
        return dump_yaml(mapping)


def entry_path(key: str, value: str) -> str:
    """Where that file lies below a cache folder or a remote's URL."""
    return f"runs/{key[:2]}/{key}/{value}"


def entries_folder(key: str) -> str:
    """Where all results of a key lie, below a cache folder or a remote's URL."""
    return f"runs/{key[:2]}/{key}/"


def is_same_work(entry: StageEntry, wanted: StageEntry) -> bool:
    """Whether an entry is about just this command on just these inputs, with these outputs by path.

    DVC's key says less: it leaves out parameters named size or nfiles.
    """
    return (
        entry.cmd == wanted.cmd
        and _inputs(entry) == _inputs(wanted)
        and _is_same_value(entry.params, wanted.params)
        and sorted(out.path for out in entry.outs) == sorted(out.path for out in wanted.outs)
    )


def _inputs(entry: StageEntry) -> list[tuple[str, str, bool]]:
    return sorted((dep.path, dep.hash, dep.executable) for dep in entry.deps)


def _is_same_value(one: Any, other: Any) -> bool:
    """Equality that knows 1, 1.0 and true apart, and takes NaN for itself and a tuple for a list."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same_value(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same_value, one, other))
    return type(one) is type(other) and bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN


def is_eligible(stage: Stage, params: Params | None = None) -> bool:
    """Whether DVC saves and restores the stage, by all that the stage itself says.

    With `params` also by their values: a file that is read whole and is empty makes DVC give up.
    """
    if stage.always_changed or not stage.cmd or not (stage.deps or stage.params) or not stage.outs:
        return False
    if params is not None and not all(params.values()):
        return False
    if any("://" in dep.path for dep in stage.deps):
        return False
    return all(
        is_inside_root(out.project_path) and not out.persist and (out.cache or out.kind is not OutputKind.OUT)
        for out in stage.outs
    )
