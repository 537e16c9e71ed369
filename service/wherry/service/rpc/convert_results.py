"""Queries for results from the wire, and results to it."""

import json
from typing import Any

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.project_results import RecordedDependency
from wherry.service.domain.dvc.tracked_values import Unreadable, Value
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.limits import NAME_CHARACTERS_MAX, TARGETS_MAX
from wherry.service.domain.paths import ROOT, ProjectPath, parse_project_path, relative_to
from wherry.service.domain.snapshot import Snapshot
from wherry.service.rpc.convert import expect_at_most
from wherry.service.usecases.read_results import FileValues, ResultKind, ResultQuery, Results
from wherry.v1 import blobs_pb2, pipelines_pb2, results_pb2

_KIND_FROM = {
    results_pb2.RESULT_KIND_METRICS: ResultKind.METRICS,
    results_pb2.RESULT_KIND_PARAMS: ResultKind.PARAMS,
    results_pb2.RESULT_KIND_PLOTS: ResultKind.PLOTS,
    results_pb2.RESULT_KIND_RECORDS: ResultKind.RECORDS,
    results_pb2.RESULT_KIND_PLOT_DATA: ResultKind.PLOT_DATA,
}


def query_from(message: results_pb2.ReadResultsRequest) -> ResultQuery:
    """Read a query.

    Raises:
        InvalidInput: if it asks for nothing, for too much, or for what is outside the project.
    """
    expect_at_most(len(message.targets), TARGETS_MAX, "targets")
    expect_at_most(len(message.kinds), len(_KIND_FROM), "kinds of results")
    kinds = frozenset(_KIND_FROM[kind] for kind in message.kinds if kind in _KIND_FROM)
    if not kinds:
        raise InvalidInput("no kind of result is asked for")
    return ResultQuery(
        kinds=kinds,
        targets=tuple(parse_project_path(target) for target in message.targets),
        stage_params_only=message.stage_params_only,
        folder=parse_project_path(message.working_folder) if message.working_folder else ROOT,
        no_header=message.no_header,
    )


def run_name_from(text: str) -> str:
    """Read the id or name of a run.

    Raises:
        InvalidInput: if it is missing or longer than it can be.
    """
    if not text or len(text) > NAME_CHARACTERS_MAX:
        raise InvalidInput(f"the run must have 1 to {NAME_CHARACTERS_MAX} characters")
    return text


def results_to(results: Results, folder: ProjectPath) -> results_pb2.Results:
    """Write results as one JSON document; plots as seen from `folder`."""
    document: dict[str, Any] = {}
    if results.metrics is not None:
        document["metrics"] = _values(results.metrics)
    if results.params is not None:
        document["params"] = _values(results.params)
    if results.deps is not None:
        document["deps"] = {dep.path: _recorded(dep) for dep in results.deps}
    if results.outs is not None:
        document["outs"] = {
            out.path: {
                "hash": out.hash,
                "size": out.size_bytes,
                "nfiles": out.nfiles,
                "use_cache": out.cache,
                "is_data_source": out.is_source,
            }
            for out in results.outs
        }
    if results.plots is not None:
        document["plots"] = {
            "groups": [
                {
                    "file": group.file,
                    "declared_in": group.declared_in,
                    "name": group.name,
                    "plots": group.plots,
                }
                for group in results.plots.groups
            ],
            "targets": {
                relative_to(target, folder): [relative_to(file, folder) for file in files]
                for target, files in results.plots.targets.items()
            },
        }
    if results.plot_data is not None:
        document["plot_data"] = {
            relative_to(path, folder): {"image": {"hash": value.hash, "size": value.size_bytes}}
            if isinstance(value, Digest)
            else _value(value)
            for path, value in results.plot_data.items()
        }
    # Dates of YAML and TOML have no JSON: they go as text.
    return results_pb2.Results(document_json=json.dumps(document, default=str, skipkeys=True))


def snapshot_files_to(snapshot: Snapshot) -> list[pipelines_pb2.SnapshotFile]:
    """Write the files of a project."""
    return [
        pipelines_pb2.SnapshotFile(
            path=path,
            digest=blobs_pb2.BlobDigest(hash=file.hash, size_bytes=file.size_bytes),
            executable=file.executable,
        )
        for path, file in sorted(snapshot.files.items())
    ]


def _values(values: FileValues) -> dict[str, Any]:
    return {path: _value(value) for path, value in values.items()}


def _value(value: Value | Unreadable) -> dict[str, Any]:
    if isinstance(value, Value):
        return {"data": _plain(value.data)}
    return {"error": {"type": value.kind, "msg": value.message}}


def _plain(value: Any) -> Any:
    """Keep tuples apart from lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return {"$tuple": [_plain(inner) for inner in value]}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _recorded(dep: RecordedDependency) -> dict[str, Any]:
    return {"hash": dep.hash, "size": dep.size_bytes, "nfiles": dep.nfiles}
