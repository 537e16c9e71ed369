"""Every mistake of a project at once, not only the first.

The readers stop at a mistake. Here they are asked again without the part that it stands in: the wrong item or key,
or the whole stage when the rest of it would mean something else. What is refused only because of an earlier mistake
is not reported; so a file whose syntax or `vars` are wrong has one mistake until that is mended.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wherry.service.domain.dvc.context import FilesNeeded, Load
from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.dvc_config import (
    CONFIG_FILE,
    DEFAULT_PARSING,
    ParsingSettings,
    parse_parsing_settings,
)
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.dvc.params import parse_params_file, read_params
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_document
from wherry.service.domain.dvc.project_files import DvcFiles
from wherry.service.domain.dvc.stage import DataSource, ParamsDependency, Stage
from wherry.service.domain.dvc.yaml12 import YamlDocument, parse_yaml
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import PathSet, ProjectPath, Surroundings, is_inside_root
from wherry.service.domain.settings import (
    SETTINGS_FILE,
    parse_run_cache_settings,
    parse_settings_file,
    parse_stage_settings,
)
from wherry.service.domain.toml_places import place_of_key

# Nobody mends more at a time, and each costs a reading of the file.
MISTAKES_PER_FILE_MAX = 100

# Without one of these, what is left of a stage means something else.
_ESSENTIAL = frozenset({"cmd", "wdir", "vars", "foreach", "matrix"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """What could be read of some files, and what was wrong with them."""

    stages: tuple[Stage, ...] = ()
    sources: tuple[DataSource, ...] = ()
    mistakes: tuple[PipelineInvalid, ...] = ()
    documents: tuple[YamlDocument, ...] = ()
    """The pipeline files that are YAML."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """A stage and one file of parameters that it reads."""

    stage: Stage
    params: ParamsDependency


def find_mistakes(files: DvcFiles, load: Load) -> list[PipelineInvalid]:
    """Find the mistakes of a project, sorted by place.

    Raises:
        FilesNeeded: as `load` does, when more files are to be fetched first.
    """
    readable = read_files(files, load)
    found = [
        *readable.mistakes,
        *_lock_mistakes(files.locks, load),
        *_settings_mistakes(readable, files.settings, load),
        *_params_mistakes(readable, load, files.around),
        *graph_mistakes(readable.stages, readable.sources),
    ]
    unique = {(error.place, error.message): error for error in found}
    return sorted(unique.values(), key=_by_place)


def read_files(files: DvcFiles, load: Load) -> Readable:
    """Read all pipeline files and .dvc files as far as they can be read.

    Raises:
        FilesNeeded: as `load` does, when more files are to be fetched first.
    """
    stages: list[Stage] = []
    sources: list[DataSource] = []
    documents: list[YamlDocument] = []
    mistakes: list[PipelineInvalid] = []
    parsing = DEFAULT_PARSING
    try:
        parsing = parse_parsing_settings(load(CONFIG_FILE) or b"")
    except PipelineInvalid as exc:
        mistakes.append(exc)
    for path in files.pipelines:
        try:
            document = parse_yaml(load(path) or b"", path)
        except PipelineInvalid as exc:
            mistakes.append(exc)
            continue
        documents.append(document)
        more, wrong = _read_document(document, path, load, parsing=parsing, around=files.around)
        stages += more
        mistakes += wrong
    for path in files.sources:
        try:
            sources.append(parse_data_file(load(path) or b"", path, files.around))
        except PipelineInvalid as exc:
            mistakes.append(exc)
    return Readable(
        stages=tuple(stages), sources=tuple(sources), mistakes=tuple(mistakes), documents=tuple(documents)
    )


def graph_mistakes(stages: Iterable[Stage], sources: Iterable[DataSource]) -> Iterator[PipelineInvalid]:
    """Find what is wrong with the graph; a stage that stands at a mistake has no part in the next ones."""
    stages, sources = list(stages), list(sources)
    for _ in range(MISTAKES_PER_FILE_MAX):
        try:
            build_pipeline(stages, sources)
        except PipelineInvalid as exc:
            yield exc
            count = len(stages) + len(sources)
            stages = [stage for stage in stages if stage.place != exc.place]
            sources = [source for source in sources if source.place != exc.place]
            if len(stages) + len(sources) == count:
                return
        else:
            return


def _read_document(
    document: YamlDocument, path: ProjectPath, load: Load, *, parsing: ParsingSettings, around: Surroundings
) -> tuple[tuple[Stage, ...], list[PipelineInvalid]]:
    mistakes: list[PipelineInvalid] = []
    while len(mistakes) < MISTAKES_PER_FILE_MAX:
        try:
            stages = parse_pipeline_document(document, path, load=load, parsing=parsing, around=around)
        except PipelineInvalid as exc:
            mistakes.append(exc)
            wrong = _wrong_part(document, exc)
            if wrong is None:
                break
            document = document.without(*wrong)
        else:
            return stages, mistakes
    return (), mistakes


def _wrong_part(document: YamlDocument, error: PipelineInvalid) -> tuple[str | int, ...] | None:
    """What must go for the rest to be read; None: nothing of the file can be."""
    if error.place is None or error.place.path != document.path:
        return None
    keys = document.find(error.place)
    if keys is None or keys in {("stages",), ("vars",)} or keys[0] == "vars":
        return None
    if keys[0] != "stages":
        return keys
    inner = keys[3:] if keys[2:3] == ("do",) else keys[2:]
    return keys if inner and inner[0] not in _ESSENTIAL else keys[:2]


def _lock_mistakes(paths: Iterable[ProjectPath], load: Load) -> Iterator[PipelineInvalid]:
    for path in paths:
        try:
            parse_lock(load(path) or b"", path)
        except PipelineInvalid as exc:
            yield exc


def _settings_mistakes(
    readable: Readable, files: Iterable[ProjectPath], load: Load
) -> Iterator[PipelineInvalid]:
    for path in files:
        yield from _settings_file_mistakes(load(path) or b"")
    documents = {document.path: document for document in readable.documents}
    for stage in readable.stages:
        for key, value in stage.settings.items():
            try:
                parse_stage_settings({key: value}, stage.settings_place or stage.place)
            except PipelineInvalid as exc:
                yield _at(exc, _inside(documents[stage.file], exc.place, key))


def _settings_file_mistakes(data: bytes) -> Iterator[PipelineInvalid]:
    try:
        parse_settings_file(data)
    except PipelineInvalid as exc:
        try:
            document = tomllib.loads(data.decode())
        except ValueError:
            yield exc
            return
        for table, parse in (("defaults", parse_stage_settings), ("run_cache", parse_run_cache_settings)):
            content = document.get(table, {})
            if not isinstance(content, dict):
                yield exc
                return
            yield from _table_mistakes(data, table, content, parse)


def _table_mistakes(
    data: bytes, table: str, content: Mapping[str, Any], parse: Callable[[Mapping[str, Any], Place], object]
) -> Iterator[PipelineInvalid]:
    for key, value in content.items():
        try:
            parse({key: value}, place_of_key(data, SETTINGS_FILE, key, table))
        except PipelineInvalid as wrong:
            yield wrong


def _params_mistakes(readable: Readable, load: Load, around: Surroundings) -> Iterator[PipelineInvalid]:
    """Check parameters whose files can be had; what stages write is not known yet."""
    outputs = PathSet(
        [
            *(out.project_path for stage in readable.stages for out in stage.outs),
            *(out.project_path for source in readable.sources for out in source.outs),
        ]
    )
    readers: dict[tuple[ProjectPath, bool], list[_Reader]] = {}
    for stage in readable.stages:
        for params in stage.params:
            path = params.project_path
            if not outputs.covers(path) and (is_inside_root(path) or around.reach(path)):
                whole = params.keys is None
                readers.setdefault((params.project_path, whole), []).append(_Reader(stage, params))
    _require((path for path, _ in readers), load)
    for (path, _), alike in readers.items():
        data = load(path)
        try:
            if data is not None:
                parse_params_file(data, path)
        except PipelineInvalid as exc:
            yield exc
        else:
            # Stages made by one foreach mostly read the same.
            distinct = {(reader.stage.place, reader.params): reader for reader in alike}
            yield from _missing_params(list(distinct.values()), {path: data})


def _missing_params(
    readers: Sequence[_Reader], files: Mapping[ProjectPath, bytes | None]
) -> Iterator[PipelineInvalid]:
    """Ask for all keys at once, and in halves where one is wrong: each asking parses the file.

    Either all readers name keys of the one file, or all read it whole.
    """
    stage, params = readers[0].stage, readers[0].params
    keys = tuple(dict.fromkeys(key for reader in readers for key in reader.params.keys or ())) or None
    try:
        read_params(replace(stage, params=(replace(params, keys=keys),)), files)
    except PipelineInvalid as exc:
        if len(readers) == 1:
            yield exc
            return
        middle = len(readers) // 2
        yield from _missing_params(readers[:middle], files)
        yield from _missing_params(readers[middle:], files)


def _require(paths: Iterable[ProjectPath], load: Load) -> None:
    """Ask for all files that are lacking at once."""
    lacking: list[ProjectPath] = []
    for path in paths:
        try:
            load(path)
        except FilesNeeded as exc:
            lacking += exc.paths
    if lacking:
        raise FilesNeeded(lacking)


def _inside(document: YamlDocument, place: Place | None, key: str) -> Place | None:
    keys = document.find(place) if place is not None else None
    return document.place(*keys, key) if keys is not None else place


def _at(error: PipelineInvalid, place: Place | None) -> PipelineInvalid:
    return PipelineInvalid(error.message, hint=error.hint, place=place)


def _by_place(error: PipelineInvalid) -> tuple[str, int, int, str]:
    place = error.place or Place(path="")
    return (place.path, place.line, place.column, error.message)
