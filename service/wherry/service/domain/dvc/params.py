"""Values of parameters: files of YAML, JSON, TOML or Python, and the keys of them that a stage reads."""

import itertools
import json
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from wherry.service.domain.dvc.param_patterns import find_matches, has_pattern
from wherry.service.domain.dvc.params_section import DEFAULT_PARAMS_FILE
from wherry.service.domain.dvc.python_params import parse_python_params
from wherry.service.domain.dvc.shape import kind_of
from wherry.service.domain.dvc.stage import ParamsDependency, Stage
from wherry.service.domain.dvc.yaml12 import DEPTH_MAX, parse_yaml
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import Params

_PLAIN_INT_MAX = 2**64

# Made once: `json.dumps` with an option makes one for each call.
_JSON = json.JSONEncoder(sort_keys=True)


def parse_params_file(data: bytes, path: str) -> Mapping[str, Any]:
    """Read a parameters file by its suffix: .json, .toml, .py; anything else is YAML. An empty one has none.

    Raises:
        PipelineInvalid: if it cannot be read, or is not a mapping.
    """
    value = parse_values(data, path) or {}
    if not isinstance(value, dict):
        raise PipelineInvalid(
            f"a parameters file must be a mapping, not {kind_of(value)}", place=Place(path=path, line=1)
        )
    return value


def parse_values(data: bytes, path: str) -> Any:
    """Read a file of values by its suffix, as `parse_params_file`; the value may be of any kind.

    Raises:
        PipelineInvalid: if it cannot be read.
    """
    suffix = posixpath.splitext(path)[1].lower()
    if suffix in {".json", ".toml", ".py"}:
        return _parse_other(data, path, suffix)
    return parse_yaml(data, path).value


def _parse_other(data: bytes, path: str, suffix: str) -> Any:
    try:
        text = data.decode()
        if suffix == ".json":
            value = json.loads(text)
        elif suffix == ".toml":
            value = tomllib.loads(text)
        else:
            value = parse_python_params(text)
    except json.JSONDecodeError as exc:
        place = Place(path=path, line=exc.lineno, column=exc.colno)
        raise PipelineInvalid(f"this is not valid JSON: {exc.msg}", place=place) from exc
    except SyntaxError as exc:
        place = Place(path=path, line=exc.lineno or 0, column=exc.offset or 0)
        raise PipelineInvalid(f"this is not valid Python: {exc.msg}", place=place) from exc
    except tomllib.TOMLDecodeError as exc:
        said, _, at = str(exc).partition(" (at ")
        place = Place(path=path, line=data.count(b"\n") + 1)
        if position := re.match(r"line (\d+), column (\d+)", at):
            place = Place(path=path, line=int(position[1]), column=int(position[2]))
        raise PipelineInvalid(f"this is not valid TOML: {said}", place=place) from exc
    except (ValueError, RecursionError) as exc:
        raise PipelineInvalid(f"this file cannot be read: {exc}", place=Place(path=path)) from exc
    if not _is_shallow(value):
        raise PipelineInvalid(f"values are nested deeper than {DEPTH_MAX} levels", place=Place(path=path))
    return value


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


class ParamsParser:
    """Parses each parameters file once, and looks for the same keys once, however many stages read them.

    What it gives must not be changed.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._parsed: dict[tuple[str, bytes], Mapping[str, Any]] = {}
        self._read: dict[tuple[ParamsDependency, bytes | None], Mapping[str, Any]] = {}

    def parse(self, data: bytes, path: str) -> Mapping[str, Any]:
        """As parse_params_file."""
        known = self._parsed.get((path, data))
        if known is None:
            known = self._parsed[path, data] = parse_params_file(data, path)
        return known

    def read(self, stage: Stage, params: ParamsDependency, data: bytes | None) -> Mapping[str, Any]:
        """The values that a stage declares to read of a file; as read_params."""
        known = self._read.get((params, data))
        if known is None:
            known = self._read[params, data] = _read_file(stage, params, data, self)
        return known


def read_params(
    stage: Stage, files: Mapping[ProjectPath, bytes | None], parser: ParamsParser | None = None
) -> Params:
    """Read a stage's parameters from the content of its files; None stands for a file that is not there.

    Files and keys come in the order of dvc.lock: params.yaml first, then by name. Stages that share a `parser` may share
    values; they must not be changed, and whoever writes several stages copies them (see `update_lock`).

    Raises:
        PipelineInvalid: at the stage's place, if a key is missing, stands for several, or has a value that
            cannot be recorded.
    """
    ordered = sorted(stage.params, key=lambda params: (params.path != DEFAULT_PARAMS_FILE, params.path))
    parser = parser or ParamsParser()
    return {params.path: parser.read(stage, params, files.get(params.project_path)) for params in ordered}


def find_params(
    stage: Stage, files: Mapping[ProjectPath, bytes | None], parser: ParamsParser
) -> Mapping[str, Mapping[str, Any] | None]:
    """Read what there is of a stage's parameters, as `dvc status` does: a key that is missing is left out.

    By file as written; None stands for a file that is not there.

    Raises:
        PipelineInvalid: at the stage's place, if a file cannot be read or a key stands for several values.
    """
    found: dict[str, Mapping[str, Any] | None] = {}
    for params in stage.params:
        data = files.get(params.project_path)
        config = None if data is None else parser.parse(data, params.project_path)
        if config is None or params.keys is None:
            found[params.path] = config
        else:
            found[params.path] = {
                key: value for key in params.keys for value in _lookup_one(stage, params, config, key)
            }
    return found


def _read_file(
    stage: Stage, params: ParamsDependency, data: bytes | None, parser: ParamsParser
) -> Mapping[str, Any]:
    if data is None and params.keys is None:
        raise _refuse(stage, f"the parameters file {params.project_path!r} does not exist")
    config = {} if data is None else parser.parse(data, params.project_path)
    keys = config if params.keys is None else params.keys
    found: dict[str, Any] = {}
    for key in keys:
        if not isinstance(key, str):
            raise _refuse(stage, f"{params.project_path!r} is read whole, so its key {key!r} must be text")
        values = [config[key]] if params.keys is None else _lookup_one(stage, params, config, key)
        if values:
            found[key] = values[0]
            _check_recordable(stage, params, key, values[0])
    missing = [key for key in keys if key not in found]
    if missing:
        where = params.project_path if data is not None else f"{params.project_path}, which does not exist"
        raise _refuse(
            stage,
            f"the parameters {', '.join(repr(key) for key in missing)} are missing from {where}",
            hint="A part of a name between dots is a key of a mapping or an index of a list.",
        )
    return {key: found[key] for key in sorted(found)}


def _lookup_one(stage: Stage, params: ParamsDependency, config: Mapping[str, Any], key: str) -> list[Any]:
    if has_pattern(key):
        return _match_one(stage, params, config, key)
    values = _lookup(config, key)
    if len(values) > 1:
        raise _refuse(stage, f"the parameter {key!r} stands for several values in {params.project_path!r}")
    return values


def _match_one(stage: Stage, params: ParamsDependency, config: Mapping[str, Any], pattern: str) -> list[Any]:
    try:
        values = list(itertools.islice(find_matches(config, pattern.lstrip(".").split(".")), 2))
    except ValueError as exc:
        raise _refuse(stage, f"the parameter {pattern!r} is no pattern: {exc}") from exc
    if len(values) > 1:
        raise _refuse(
            stage,
            f"the pattern {pattern!r} matches several parameters in {params.project_path!r}",
            hint="A pattern must match exactly one, as in DVC; name them one by one, or what holds them all.",
        )
    return values


def _lookup(config: Mapping[str, Any], key: str) -> list[Any]:
    """All values under a dotted key; a leading dot is ignored, as in DVC."""
    values: list[Any] = [config]
    for part in key.lstrip(".").split("."):
        values = [inner for value in values for inner in _step(value, part)]
    return values


def _step(value: Any, part: str) -> Iterator[Any]:
    number = _number(part)
    if isinstance(value, dict):
        if number is None or number not in value:
            # Nearly always; going through a mapping of all stages' values for each of them would be quadratic.
            if part in value:
                yield value[part]
            return
        for key, inner in value.items():
            if (isinstance(key, str) and key == part) or (isinstance(key, int) and key == number):
                yield inner
    elif isinstance(value, list | tuple) and number is not None and -len(value) <= number < len(value):
        yield value[number]


def _number(part: str) -> int | None:
    if part[:1].isalpha():
        return None
    try:
        return int(part)
    except ValueError:
        return None


def _check_recordable(stage: Stage, params: ParamsDependency, key: str, value: Any) -> None:
    """DVC computes a JSON of the parameters when it saves a stage, so what JSON lacks fails there."""
    if _is_plain(value):
        return
    try:
        _JSON.encode(value)
    except (TypeError, ValueError) as exc:
        raise _refuse(
            stage,
            f"the parameter {key!r} of {params.project_path!r} cannot be recorded: {exc}",
            hint="Dates, sets and mappings with mixed keys have no JSON; write them as text.",
        ) from exc


def _is_plain(value: Any) -> bool:
    """Whether it has a JSON for sure. Nearly all has, and this is a fraction of writing it."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, int):
        # Python cannot write one of very many digits.
        return -_PLAIN_INT_MAX <= value <= _PLAIN_INT_MAX
    return value is None or isinstance(value, str | float)


def _refuse(stage: Stage, message: str, *, hint: str = "") -> PipelineInvalid:
    return PipelineInvalid(f"stage {stage.name!r}: {message}", hint=hint, place=stage.place)
