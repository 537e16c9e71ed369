"""`-S/--set-param`: parameters changed for a run, as far as Hydra's basic grammar says it.

What is beyond it (functions, interpolations in an override or in the file) is for Hydra itself: see ports/param_composer.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from wherry.service.domain.dvc.override_grammar import BeyondBasics, Change, Override, parse_override
from wherry.service.domain.dvc.params_edit import open_params
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
        BeyondBasics: if it takes Hydra itself.
        InvalidInput: if an override cannot be read or applied.
        PipelineInvalid: if the file cannot be read.
    """
    file = open_params(data, path)
    parsed = [parse_override(text) for text in overrides]
    if _has_interpolations(file.values):
        raise BeyondBasics
    for override in parsed:
        _Edit(override, path).apply(file.values)
    return file.write(file.values)


def _has_interpolations(value: Any) -> bool:
    """DVC resolves `${…}` of the whole file when it sets one parameter, and stops at `???`."""
    if isinstance(value, dict | list):
        return any(
            _has_interpolations(inner) for inner in (value.values() if isinstance(value, dict) else value)
        )
    return isinstance(value, str) and ("${" in value or value == "???")


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
            raise self._unknown(holder, key) if inner is None else self._no_holder(key)
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

    def _no_holder(self, key: str) -> InvalidInput:
        return InvalidInput(
            f"{self.override.text!r}: {key!r} in {self.path} is a single value, neither a mapping nor a list",
            hint="Set it as a whole.",
        )

    def _unknown(self, holder: Any, key: Any) -> InvalidInput:
        known = [str(name) for name in holder] if isinstance(holder, dict) else []
        near = get_close_matches(str(key), known, n=3)
        adding = "A new key takes '+' in front."
        if self.override.change is Change.DELETE:
            adding = f"There are {', '.join(map(repr, known[:10]))}." if known else ""
        if near:
            hint = f"Did you mean {' or '.join(repr(name) for name in near)}? {adding}".strip()
        elif isinstance(holder, list):
            hint = f"The list there has {len(holder)} items, counted from 0."
        else:
            hint = adding
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
