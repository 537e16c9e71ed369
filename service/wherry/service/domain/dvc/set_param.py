"""`-S/--set-param`: parameters changed for a run, and written back as DVC writes them.

YAML keeps its comments (round trip, as DVC does it), JSON is dumped anew. TOML and Python files are refused: DVC's
own rewriting of the latter can damage the file.
"""

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from wherry.service.domain.dvc.emit import dump_yaml, load_for_edit
from wherry.service.domain.dvc.override_grammar import Change, Override, parse_override
from wherry.service.domain.dvc.params import parse_params_file
from wherry.service.domain.dvc.params_section import DEFAULT_PARAMS_FILE
from wherry.service.domain.errors import InvalidInput


def split_override(text: str) -> tuple[str, str]:
    """Split `[FILE:]OVERRIDE`: a colon before the first "=" ends a file's name. The default is params.yaml."""
    head = text.partition("=")[0]
    file, colon, _ = head.partition(":")
    if not colon:
        return DEFAULT_PARAMS_FILE, text
    if not file:
        raise InvalidInput(f"{text!r} names no file before the colon")
    return file, text[len(file) + 1 :]


def apply_overrides(data: bytes, path: str, overrides: Sequence[str]) -> bytes:
    """Apply overrides to a parameters file, in order, and give its new content.

    Raises:
        InvalidInput: if an override cannot be read or applied.
        PipelineInvalid: if the file cannot be read.
    """
    suffix = posixpath.splitext(path)[1].lower()
    if suffix in {".toml", ".py"}:
        raise InvalidInput(
            f"this version of Wherry does not set parameters in {suffix} files yet: {path}",
            hint="Edit the file and submit it.",
        )
    parsed = [parse_override(text) for text in overrides]
    # For YAML too, because of its checks: repeated aliases, depth, a mapping on top.
    checked = parse_params_file(data, path)
    document = checked if suffix == ".json" else load_for_edit(data, path) or {}
    values = _plain(document)
    _refuse_interpolations(values, path)
    for override in parsed:
        _Edit(override, path).apply(values)
    if suffix == ".json":
        return json.dumps(values).encode()
    _update(document, values)
    return dump_yaml(document)


def _plain(value: Any) -> Any:
    """Copy collections, keep scalars as they are: they remember how they were spelt."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _refuse_interpolations(value: Any, path: str) -> None:
    """DVC resolves `${…}` of the whole file when it sets one parameter, and stops at `???`."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _refuse_interpolations(inner, path)
    elif isinstance(value, str) and ("${" in value or value == "???"):
        raise InvalidInput(
            f"{path} holds {value!r}; this version of Wherry does not set parameters beside it yet"
        )


def _update(document: Any, values: Mapping[str, Any]) -> None:
    """Carry values over into the loaded document, in place, so that its comments stay."""
    for key, value in values.items():
        if isinstance(document.get(key), dict) and isinstance(value, dict):
            _update(document[key], value)
        else:
            document[key] = value
    for key in [key for key in document if key not in values]:
        del document[key]


@dataclass(frozen=True, slots=True)
class _Edit:
    """One override on its way into the values of one file."""

    override: Override
    path: str

    @property
    def _may_add(self) -> bool:
        return self.override.change in {Change.ADD, Change.ADD_OR_SET}

    @property
    def _dotted(self) -> str:
        return ".".join(self.override.keys)

    def apply(self, values: dict[Any, Any]) -> None:
        text, keys, value = self.override.text, self.override.keys, self.override.value
        if self.override.change is Change.DELETE:
            self._delete(values)
            return
        adds = self.override.change is Change.ADD and not isinstance(value, dict | list)
        if adds and _find(values, keys) is not None:
            raise InvalidInput(
                f"{text!r}: {self._dotted} is in {self.path} already",
                hint=f"{text[1:]!r} sets it, {'+' + text!r} adds or sets it.",
            )
        holder: Any = values
        for key in keys[:-1]:
            holder = self._descend(holder, key)
        self._set(holder, keys[-1])

    def _descend(self, holder: Any, key: str) -> Any:
        inner = _get(holder, key)
        if isinstance(inner, dict | list):
            return inner
        if not self._may_add or isinstance(holder, list):
            # Hydra would put an empty mapping in a scalar's place and then miss the key in it.
            raise self._unknown(holder, key)
        holder[key] = {}
        return holder[key]

    def _set(self, holder: Any, key: str) -> None:
        value = self.override.value
        if isinstance(holder, list):
            index = int(key) if key.isdecimal() else len(holder)
            if index >= len(holder):
                raise self._unknown(holder, key)
            holder[index] = self._merge(holder[index], value)
        elif key in holder:
            holder[key] = self._merge(holder[key], value)
        elif self._may_add:
            holder[key] = value
        else:
            raise self._unknown(holder, key)

    def _merge(self, old: Any, new: Any) -> Any:
        """Mappings are merged, everything else is replaced; a list and a mapping cannot replace each other."""
        if isinstance(old, dict | list) and isinstance(new, dict | list) and type(old) is not type(new):
            raise InvalidInput(
                f"{self.override.text!r}: a list and a mapping cannot take each other's place in {self.path}"
            )
        if isinstance(old, dict) and isinstance(new, dict):
            for key, value in new.items():
                if key not in old and not self._may_add:
                    raise self._unknown(old, key)
                old[key] = self._merge(old[key], value) if key in old else value
            return old
        return new

    def _delete(self, values: dict[Any, Any]) -> None:
        keys, value = self.override.keys, self.override.value
        found, holder = _find(values, keys), _find(values, keys[:-1])
        if found is None or not isinstance(holder, dict):
            raise self._unknown(holder, keys[-1])
        if value is not None and value != found:
            raise InvalidInput(
                f"{self.override.text!r}: {self._dotted} is {found!r} in {self.path}, so it is not removed"
            )
        del holder[keys[-1]]

    def _unknown(self, holder: Any, key: Any) -> InvalidInput:
        known = [str(name) for name in holder] if isinstance(holder, dict) else []
        near = get_close_matches(str(key), known, n=3)
        if near:
            hint = f"Did you mean {' or '.join(repr(name) for name in near)}? A new key takes '+' in front."
        elif isinstance(holder, list):
            hint = f"The list there has {len(holder)} items, counted from 0."
        else:
            hint = "A new key takes '+' in front."
        return InvalidInput(f"{self.override.text!r}: {self.path} has no {str(key)!r} there", hint=hint)


def _find(values: Any, keys: Sequence[str]) -> Any:
    """The value under keys; None when it is not there, or is null."""
    for key in keys:
        values = _get(values, key)
    return values


def _get(holder: Any, key: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(key)
    if isinstance(holder, list) and key.isdecimal() and int(key) < len(holder):
        return holder[int(key)]
    return None
