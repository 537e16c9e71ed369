"""The outputs of a project by their paths: overlaps are refused, readers find what they read."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath


@dataclass(frozen=True, slots=True)
class Owner:
    """An output, and who writes it."""

    name: StageName
    place: Place
    path: ProjectPath


@dataclass(slots=True)
class _Node:
    """A folder or file on the way to outputs."""

    owner: Owner | None = None
    children: "dict[str, _Node]" = field(default_factory=dict)


def _parts(path: ProjectPath) -> list[str]:
    return [] if path == ROOT else path.split("/")


class OutputTree:
    """Outputs by the parts of their paths, so that overlaps are found in the length of a path."""

    def __init__(self) -> None:
        """Begin with no output."""
        self._root = _Node()

    def add(self, owner: Owner) -> None:
        """Add an output.

        Raises:
            PipelineInvalid: if it is there already, lies in another one or holds one.
        """
        node = self._root
        for part in _parts(owner.path):
            if node.owner is not None:
                raise _refuse_overlap(node.owner, owner)
            node = node.children.setdefault(part, _Node())
        if node.owner is not None:
            raise _refuse_duplicate(node.owner, owner)
        below = next(_owners_of(node), None)
        if below is not None:
            raise _refuse_overlap(owner, below)
        node.owner = owner

    def at_or_above(self, path: ProjectPath) -> Owner | None:
        """Find the output that is `path` or holds it."""
        node = self._root
        for part in _parts(path):
            if node.owner is not None or part not in node.children:
                return node.owner
            node = node.children[part]
        return node.owner

    def touching(self, path: ProjectPath) -> Iterator[Owner]:
        """Owners of outputs that are `path`, hold it, or lie below it, the latter in DVC's order."""
        node = self._root
        for part in _parts(path):
            if node.owner is not None or part not in node.children:
                break
            node = node.children[part]
        else:
            yield from _owners_of(node)
            return
        if node.owner is not None:
            yield node.owner


def _owners_of(node: _Node) -> Iterator[Owner]:
    stack = [node]
    while stack:
        current = stack.pop()
        if current.owner is not None:
            yield current.owner
        stack.extend(reversed(current.children.values()))


def _refuse_duplicate(first: Owner, second: Owner) -> PipelineInvalid:
    if first.name == second.name:
        return PipelineInvalid(
            f"stage {first.name!r} writes {second.path!r} twice",
            hint="Name it once, in one spelling, under one of outs, metrics and plots.",
            place=second.place,
        )
    return PipelineInvalid(
        f"{second.path!r} is written by {first.name!r} ({first.place}) and by {second.name!r} ({second.place})",
        hint="An output belongs to one stage.",
        place=second.place,
    )


def _refuse_overlap(parent: Owner, child: Owner) -> PipelineInvalid:
    return PipelineInvalid(
        f"{child.path!r} of {child.name!r} ({child.place}) lies inside {parent.path!r}"
        f" of {parent.name!r} ({parent.place})",
        hint="Write them to separate folders, or track only one of them.",
        place=child.place,
    )
