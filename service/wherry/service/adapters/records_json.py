"""Domain values as JSON text, for columns.

Explicit in both directions: a field that is renamed in the domain breaks a test here, not a database out
there. Fields that a record lacks take the domain's default, so that older rows can still be read. This is not
the JSON of the command line or of the wire.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from wherry.service.adapters.records_usage import attempt_from, plain_attempt, plain_usage, usage_from
from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.explanation import Circumstances, DeclaredOutput
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, OutputKind, StageEntry
from wherry.service.domain.run import (
    FileRecord,
    Run,
    RunError,
    StageRecord,
    WriteBack,
    WriteBackKind,
)
from wherry.service.domain.states import CacheUse, HitSource, Phase, State
from wherry.service.domain.task import AttemptId, RunId

_TAG = "$"

# Made once: `json.dumps` with an option makes one for each call.
_JSON = json.JSONEncoder(separators=(",", ":"))


def dump_stage(stage: StageRecord) -> str:
    """Write a stage of a run."""
    return _dump(_plain_stage(stage))


def load_stage(text: str) -> StageRecord:
    """Read what dump_stage wrote."""
    return _stage(json.loads(text))


def dump_event(about: Run | StageRecord) -> str:
    """Write what an event is about. A run is written without its stages."""
    if isinstance(about, Run):
        return _dump({"run": _plain_run(about)})
    return _dump({"stage": _plain_stage(about)})


def event_of_stage(record: str) -> str:
    """What dump_event writes for a stage, from what dump_stage has written of it."""
    return f'{{"stage":{record}}}'


def load_event(text: str) -> Run | StageRecord:
    """Read what dump_event wrote."""
    plain = json.loads(text)
    return _run(plain["run"]) if "run" in plain else _stage(plain["stage"])


def dump_error(error: RunError) -> str:
    """Write why a run did not succeed."""
    return _dump(_plain_error(error))


def load_error(text: str) -> RunError:
    """Read what dump_error wrote."""
    return _error(json.loads(text))


def dump_write_backs(write_backs: tuple[WriteBack, ...]) -> str:
    """Write the files that a run leaves in the project."""
    return _dump([_plain_write_back(item) for item in write_backs])


def load_write_backs(text: str) -> tuple[WriteBack, ...]:
    """Read what dump_write_backs wrote."""
    return tuple(_write_back(item) for item in json.loads(text))


def dump_labels(labels: Mapping[str, str]) -> str:
    """Write what a submitter sorts runs by."""
    return _dump(dict(labels))


def load_labels(text: str) -> dict[str, str]:
    """Read what dump_labels wrote."""
    labels: dict[str, str] = json.loads(text)
    return labels


def dump_entry(entry: StageEntry) -> str:
    """Write a stage as dvc.lock holds it. Whether cmd is a string or a list is kept.

    Values of params keep their types: those of JSON, NaN and the infinities, dates, times, tuples, and mappings
    whose keys are no strings.

    Raises:
        TypeError: for a value of any other type.
    """
    return _dump(
        {
            "cmd": entry.cmd if isinstance(entry.cmd, str) else list(entry.cmd),
            "deps": [_plain_file_entry(item) for item in entry.deps],
            "params": [
                [path, [[key, _plain_value(value)] for key, value in values.items()]]
                for path, values in entry.params.items()
            ],
            "outs": [_plain_file_entry(item) for item in entry.outs],
        }
    )


def load_entry(text: str) -> StageEntry:
    """Read what dump_entry wrote."""
    plain = json.loads(text)
    cmd = plain["cmd"]
    return StageEntry(
        cmd=cmd if isinstance(cmd, str) else tuple(cmd),
        deps=tuple(_file_entry(item) for item in plain["deps"]),
        params={path: {key: _value(value) for key, value in values} for path, values in plain["params"]},
        outs=tuple(_file_entry(item) for item in plain["outs"]),
    )


def dump_circumstances(circumstances: Circumstances) -> str:
    """Write what a strict key counts beside the entry of its stage."""
    image = circumstances.image
    return _dump(
        {
            "wdir": circumstances.wdir,
            "outs": [{"path": out.path, "kind": out.kind, "cache": out.cache} for out in circumstances.outs],
            "environment": dict(circumstances.environment),
            "image": {"name": image.name, "digest": image.digest, "platform": image.platform},
            "network": circumstances.network,
            "ignored": circumstances.ignored,
            "previous": dict(circumstances.previous),
        }
    )


def load_circumstances(text: str) -> Circumstances:
    """Read what dump_circumstances wrote."""
    plain = json.loads(text)
    return Circumstances(
        wdir=ProjectPath(plain["wdir"]),
        outs=tuple(DeclaredOutput(**(out | {"kind": OutputKind(out["kind"])})) for out in plain["outs"]),
        environment=plain["environment"],
        image=Image(**plain["image"]),
        network=plain["network"],
        ignored=plain.get("ignored", ""),
        previous=plain.get("previous", {}),
    )


def _dump(plain: object) -> str:
    # ASCII only: lone surrogates of odd file names survive as escapes, and no column's encoding matters.
    return _JSON.encode(plain)


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key != _TAG for key in value):
            return {key: _plain_value(item) for key, item in value.items()}
        return {
            _TAG: "map",
            "items": [[_plain_value(key), _plain_value(item)] for key, item in value.items()],
        }
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return _plain_rare_value(value)


def _plain_rare_value(value: Any) -> dict[str, Any]:
    """Tuples come from Python files; dates and times from YAML and TOML."""
    if isinstance(value, tuple):
        return {_TAG: "tuple", "items": [_plain_value(item) for item in value]}
    if isinstance(value, datetime):
        return {_TAG: "datetime", "iso": value.isoformat()}
    if isinstance(value, date):
        return {_TAG: "date", "iso": value.isoformat()}
    if isinstance(value, time):
        return {_TAG: "time", "iso": value.isoformat()}
    raise TypeError(f"a parameter of type {type(value).__name__} cannot be kept")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if _TAG not in plain:
        return {key: _value(item) for key, item in plain.items()}
    return _rare_value(plain)


def _rare_value(plain: dict[str, Any]) -> Any:
    match plain[_TAG]:
        case "map":
            return {_value(key): _value(item) for key, item in plain["items"]}
        case "tuple":
            return tuple(_value(item) for item in plain["items"])
        case "datetime":
            return datetime.fromisoformat(plain["iso"])
        case "date":
            return date.fromisoformat(plain["iso"])
        case "time":
            return time.fromisoformat(plain["iso"])
        case tag:
            raise ValueError(f"a parameter of unknown kind {tag!r} was kept")


def _plain_file_entry(entry: FileEntry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "hash": entry.hash,
        "size_bytes": entry.size_bytes,
        "nfiles": entry.nfiles,
        "executable": entry.executable,
    }


def _file_entry(plain: dict[str, Any]) -> FileEntry:
    return FileEntry(**(plain | {"hash": BlobHash(plain["hash"])}))


def _plain_file_record(record: FileRecord) -> dict[str, Any]:
    return {
        "path": record.path,
        "hash": record.hash,
        "size_bytes": record.size_bytes,
        "nfiles": record.nfiles,
        "executable": record.executable,
        "kind": record.kind,
        "cache": record.cache,
    }


def _file_record(plain: dict[str, Any]) -> FileRecord:
    kind = plain.get("kind")
    return FileRecord(
        **(
            plain
            | {
                "path": ProjectPath(plain["path"]),
                "hash": BlobHash(plain["hash"]),
                "kind": None if kind is None else OutputKind(kind),
            }
        )
    )


def _plain_stage(stage: StageRecord) -> dict[str, Any]:
    return {
        "name": stage.name,
        "state": stage.state,
        "cache": stage.cache,
        "key": stage.key,
        "from_run": stage.from_run,
        "from_user": stage.from_user,
        "source": stage.source,
        "attempt": stage.attempt,
        "node": stage.node,
        "image": stage.image,
        "exit_code": stage.exit_code,
        "reason": stage.reason,
        "wall_s": stage.wall_s,
        "usage": plain_usage(stage.usage),
        "earlier": [plain_attempt(one) for one in stage.earlier],
        "deps": [_plain_file_record(item) for item in stage.deps],
        "outs": [_plain_file_record(item) for item in stage.outs],
        "params_json": stage.params_json,
        "undeclared": [_plain_file_record(item) for item in stage.undeclared],
        "undeclared_deps": list(stage.undeclared_deps),
        "attempt_id": stage.attempt_id,
        "output_after": stage.output_after,
        "log": stage.log,
        "phase": stage.phase,
        "since": _plain_instant(stage.since),
    }


def _stage(plain: dict[str, Any]) -> StageRecord:
    cache, from_run, source = plain.get("cache"), plain.get("from_run"), plain.get("source")
    attempt_id = plain.get("attempt_id")
    phase, since = plain.get("phase"), plain.get("since")
    return StageRecord(
        **(
            plain
            | {
                "name": StageName(plain["name"]),
                "state": State(plain["state"]),
                "cache": None if cache is None else CacheUse(cache),
                "from_run": None if from_run is None else RunId(from_run),
                "attempt_id": None if attempt_id is None else AttemptId(attempt_id),
                "source": None if source is None else HitSource(source),
                "phase": None if phase is None else Phase(phase),
                "usage": usage_from(plain.get("usage")),
                "earlier": tuple(map(attempt_from, plain.get("earlier", ()))),
                "since": None if since is None else datetime.fromisoformat(since),
                "deps": tuple(_file_record(item) for item in plain["deps"]),
                "outs": tuple(_file_record(item) for item in plain["outs"]),
                "undeclared": tuple(_file_record(item) for item in plain.get("undeclared", ())),
                "undeclared_deps": tuple(plain.get("undeclared_deps", ())),
            }
        )
    )


def _plain_run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "project": run.project,
        "user": run.user,
        "rev": run.rev,
        "dirty": run.dirty,
        "message": run.message,
        "state": run.state,
        "created_at": _plain_instant(run.created_at),
        "started_at": _plain_instant(run.started_at),
        "finished_at": _plain_instant(run.finished_at),
        "compute_s": run.compute_s,
        "saved_s": run.saved_s,
        "error": None if run.error is None else _plain_error(run.error),
        "write_backs": [_plain_write_back(item) for item in run.write_backs],
        "labels": dict(run.labels),
        "priority": run.priority,
    }


def _run(plain: dict[str, Any]) -> Run:
    started_at, finished_at, error = plain["started_at"], plain["finished_at"], plain["error"]
    return Run(
        **(
            plain
            | {
                "id": RunId(plain["id"]),
                "state": State(plain["state"]),
                "created_at": datetime.fromisoformat(plain["created_at"]),
                "started_at": None if started_at is None else datetime.fromisoformat(started_at),
                "finished_at": None if finished_at is None else datetime.fromisoformat(finished_at),
                "error": None if error is None else _error(error),
                "write_backs": tuple(_write_back(item) for item in plain["write_backs"]),
                "stages": {},
            }
        )
    )


def _plain_instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat()


def _plain_error(error: RunError) -> dict[str, Any]:
    return {"reason": error.reason, "message": error.message, "hint": error.hint}


def _error(plain: dict[str, Any]) -> RunError:
    return RunError(**plain)


def _plain_write_back(item: WriteBack) -> dict[str, Any]:
    return {
        "path": item.path,
        "hash": item.digest.hash,
        "size_bytes": item.digest.size_bytes,
        "executable": item.executable,
        "submitted_hash": item.submitted_hash,
        "kind": item.kind,
    }


def _write_back(plain: dict[str, Any]) -> WriteBack:
    return WriteBack(
        path=ProjectPath(plain["path"]),
        digest=Digest(BlobHash(plain["hash"]), plain["size_bytes"]),
        executable=plain["executable"],
        submitted_hash=plain["submitted_hash"],
        kind=WriteBackKind(plain["kind"]),
    )
