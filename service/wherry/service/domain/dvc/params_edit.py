"""A parameters file opened to be changed: its values, and its bytes once they are changed.

YAML and TOML keep their comments (round trip, as DVC does it), JSON is dumped anew, in Python the literals are replaced.
"""

import json
import posixpath
from collections.abc import Mapping
from typing import Any, Protocol

import tomlkit
from tomlkit.exceptions import TOMLKitError

from wherry.service.domain.dvc.emit import dump_yaml, load_for_edit
from wherry.service.domain.dvc.params import parse_params_file
from wherry.service.domain.dvc.python_edit import replace_literals
from wherry.service.domain.dvc.same_values import is_same
from wherry.service.domain.errors import InvalidInput


class EditableParams(Protocol):
    """One parameters file."""

    values: dict[Any, Any]
    """Plain collections; scalars remember how they were spelt. May be changed."""

    def write(self, values: Mapping[Any, Any]) -> bytes:
        """Write the file with these values."""
        ...


def open_params(data: bytes, path: str) -> EditableParams:
    """Open a file by its suffix, as parse_params_file does.

    Raises:
        PipelineInvalid: if it cannot be read.
    """
    # For all of them, because of its checks: repeated aliases, depth, a mapping on top.
    checked = parse_params_file(data, path)
    suffix = posixpath.splitext(path)[1].lower()
    if suffix == ".json":
        return _JsonParams(checked)
    if suffix == ".toml":
        return _TomlParams(data, path)
    if suffix == ".py":
        return _PythonParams(data, path, checked)
    return _YamlParams(data, path)


class _JsonParams:
    def __init__(self, values: Mapping[Any, Any]) -> None:
        self.values: dict[Any, Any] = _plain(values)

    def write(self, values: Mapping[Any, Any]) -> bytes:
        return json.dumps(values).encode()


class _YamlParams:
    def __init__(self, data: bytes, path: str) -> None:
        self._document = load_for_edit(data, path) or {}
        self.values: dict[Any, Any] = _plain(self._document)

    def write(self, values: Mapping[Any, Any]) -> bytes:
        _update(self._document, values)
        return dump_yaml(self._document)


class _TomlParams:
    def __init__(self, data: bytes, path: str) -> None:
        self._path = path
        self._document = tomlkit.loads(data.decode())
        self.values: dict[Any, Any] = _plain(self._document)

    def write(self, values: Mapping[Any, Any]) -> bytes:
        try:
            _update(self._document, values)
            written = tomlkit.dumps(self._document).encode()
        except (TOMLKitError, ValueError, TypeError) as exc:
            raise InvalidInput(
                f"{self._path} cannot hold what was set: {exc}",
                hint="TOML knows no null, and keys are text.",
            ) from exc
        if not is_same(parse_params_file(written, self._path), _unwrapped(values)):
            raise InvalidInput(
                f"{self._path} would not read back as it was set", hint="Edit the file by hand and submit it."
            )
        return written


class _PythonParams:
    def __init__(self, data: bytes, path: str, values: Mapping[Any, Any]) -> None:
        self._data = data
        self._path = path
        self.values: dict[Any, Any] = _plain(values)

    def write(self, values: Mapping[Any, Any]) -> bytes:
        return replace_literals(self._data, self._path, values)


def _plain(value: Any) -> Any:
    """Copy collections, keep scalars as they are: they remember how they were spelt."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _unwrapped(value: Any) -> Any:
    """Make a copy without TOML's own kinds of values."""
    if isinstance(value, Mapping):
        return {str(key): _unwrapped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unwrapped(inner) for inner in value]
    return value.unwrap() if isinstance(value, tomlkit.items.Item) else value


def _update(document: Any, values: Mapping[Any, Any]) -> None:
    """Carry values over into the loaded document, in place, so that its comments stay."""
    for key, value in values.items():
        if isinstance(document.get(key), dict) and isinstance(value, dict):
            _update(document[key], value)
        else:
            document[key] = value
    for key in [key for key in document if key not in values]:
        del document[key]
