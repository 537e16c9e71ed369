"""Checks of shape: a value of a DVC file is of the kind it must be, or the error names its place.

DVC validates with a schema and coerces nothing; neither is anything coerced here.
"""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

from wherry.service.domain.dvc.yaml12 import YamlDocument
from wherry.service.domain.errors import PathEscapes, PipelineInvalid, Place
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings, is_inside_root

_KINDS = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def kind_of(value: Any) -> str:
    """Say in plain words what a value is."""
    return "nothing" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")


# Longer values are not repeated in messages.
_SHOWN_MAX = 60


def _hint_for(wanted: str, value: Any) -> str:
    """What would be right where a value is of the wrong kind."""
    if value is None and wanted == "text":
        return "Give it a value, or take it out."
    if value is None:
        return (
            "What belongs to it stands further to the right; if nothing does, take the key or its colon out."
        )
    if wanted == "a list" and isinstance(value, str):
        return f"Write it as a list: [{value}]" if len(value) <= _SHOWN_MAX else "Write it as a list."
    if wanted == "a mapping" and isinstance(value, str):
        return "Write it as a mapping: `key: value`, further to the right on lines of their own."
    if wanted == "text" and isinstance(value, bool | int | float):
        return "Put it in quotes."
    if wanted == "true or false" and isinstance(value, str):
        return "DVC reads YAML 1.2, in which yes, no, on and off are text; and no template may stand here."
    return ""


class NotReadYet(PipelineInvalid):
    """DVC takes it; this version of Wherry cannot read it faithfully."""


class Shape(NamedTuple):
    """A value in a document, reached by `keys`; `what` names it in messages, such as "stage 'train'".

    A named tuple, as ten are made for each generated stage, and a frozen dataclass takes three times as long to make.
    """

    document: YamlDocument
    keys: tuple[str | int, ...]
    value: Any
    what: str
    around: Surroundings = NOWHERE
    """Where the project lies: what paths lead out of it, and where to."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.document.place(*self.keys)

    def inner(self, key: str | int, value: Any, what: str = "") -> "Shape":
        """The value under a key or index of this one."""
        return Shape(self.document, (*self.keys, key), value, what or self.what, self.around)

    def holding(self, value: Any) -> "Shape":
        """The same place with another value."""
        return Shape(self.document, self.keys, value, self.what, self.around)

    def named(self, what: str) -> "Shape":
        """The same place, called something else in messages."""
        return Shape(self.document, self.keys, self.value, what, self.around)

    def refuse(self, message: str, *, hint: str = "") -> PipelineInvalid:
        """Make an error at this place; the caller raises it."""
        return PipelineInvalid(f"{self.what}: {message}", hint=hint, place=self.place)

    def not_yet(self, feature: str, *, hint: str = "") -> PipelineInvalid:
        """Make the error for a feature of DVC that cannot be read faithfully yet."""
        return NotReadYet(
            f"{self.what}: this version of Wherry does not read {feature}", hint=hint, place=self.place
        )

    def _must_be(self, wanted: str) -> PipelineInvalid:
        name = ".".join(str(key) for key in self.keys) or "the file"
        return self.refuse(
            f"{name} must be {wanted}, not {kind_of(self.value)}", hint=_hint_for(wanted, self.value)
        )

    def text(self) -> str:
        """The value as text."""
        if not isinstance(self.value, str):
            raise self._must_be("text")
        return self.value

    def flag(self) -> bool:
        """The value as a bool."""
        if not isinstance(self.value, bool):
            raise self._must_be("true or false")
        return self.value

    def number(self) -> int:
        """The value as a whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._must_be("a whole number")
        return self.value

    def mapping(self) -> Mapping[str, Any]:
        """The value as a mapping whose keys are text."""
        if not isinstance(self.value, dict):
            raise self._must_be("a mapping")
        for key in self.value:
            if not isinstance(key, str):
                raise self.inner(key, None).refuse(f"the key {key!r} must be text; put it in quotes")
        return self.value

    def items(self) -> Sequence["Shape"]:
        """The value as a list."""
        if not isinstance(self.value, list):
            raise self._must_be("a list")
        return [self.inner(index, value) for index, value in enumerate(self.value)]

    def texts(self) -> Sequence[str]:
        """The value as a list of texts."""
        return [item.text() for item in self.items()]

    def fields(
        self, known: Collection[str], *, former: Mapping[str, str] = MappingProxyType({})
    ) -> Mapping[str, "Shape"]:
        """The value as a mapping that has no keys but the known ones; of `former` ones it is told what became."""
        mapping = self.mapping()
        for key in mapping:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = former.get(key) or (
                    f"Did you mean {near[0]!r}?" if near else f"DVC knows {', '.join(sorted(known))}."
                )
                raise self.inner(key, None).refuse(f"unknown key {key!r}", hint=hint)
        return {key: self.inner(key, value) for key, value in mapping.items()}

    def path_anywhere(self, folder: ProjectPath, written: str) -> ProjectPath:
        """Resolve a path of this place, which may lead out of the project."""
        try:
            return self.around.resolve(folder, written)
        except PathEscapes as exc:
            raise self.refuse(exc.message) from exc

    def place_outside(self, path: ProjectPath) -> Place | None:
        """This place, if the path leads out of the DVC root: then an error may have to name it later."""
        return None if is_inside_root(path) else self.place

    def path_inside(self, folder: ProjectPath, written: str, role: str) -> ProjectPath:
        """Resolve a path of this place that must be in the project; `role` names it in messages: "output"."""
        path = self.path_anywhere(folder, written)
        if not is_inside_root(path):
            raise self.not_yet(
                f"tracked data whose {role} lies outside the project, as {written!r} does",
                hint="Move the .dvc file and the data into the folder that `dvc init` was called in.",
            )
        return path
