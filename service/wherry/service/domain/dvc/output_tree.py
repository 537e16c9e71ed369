"""The outputs of a project by their paths: overlaps are refused, readers find what they read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath, is_elsewhere, is_inside_root, levels_above

# Stands for each folder above the root; their names do not matter.
_UP = ".."


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


class OutputTree:
    """Outputs by the parts of their paths, so that overlaps are found in the length of a path."""

    def __init__(self, paths: Iterable[ProjectPath] = ()) -> None:
        """Begin with no output. `paths` are all that it will be asked about: some may lie above the DVC root."""
        self._root = _Node()
        self._levels = max((_levels_needed(path) for path in paths), default=0)

    def _parts(self, path: ProjectPath) -> list[str]:
        """The way to a path. If any path leads out of the root, those inside begin above it."""
        if not self._levels:
            return [] if path == ROOT else path.split("/")
        if is_elsewhere(path):
            return path.split("/")
        inside = [] if path == ROOT else path.split("/")
        levels = levels_above(path)
        return [_UP] * (self._levels - levels) + inside[levels:]

    def all(self) -> Iterator[Owner]:
        """All owners, in DVC's order."""
        return _owners_of(self._root)

    def add(self, owner: Owner) -> None:
        """Add an output.

        Raises:
            PipelineInvalid: if it is there already, lies in another one or holds one.
        """
        node = self._root
        for part in self._parts(owner.path):
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
        for part in self._parts(path):
            if node.owner is not None or part not in node.children:
                return node.owner
            node = node.children[part]
        return node.owner

    def touching(self, path: ProjectPath) -> Iterator[Owner]:
        """Owners of outputs that are `path`, hold it, or lie below it, the latter in DVC's order."""
        node = self._root
        for part in self._parts(path):
            if node.owner is not None or part not in node.children:
                break
            node = node.children[part]
        else:
            yield from _owners_of(node)
            return
        if node.owner is not None:
            yield node.owner


def _levels_needed(path: ProjectPath) -> int:
    """One more than the path goes up, so that what is elsewhere lies in no folder above the root."""
    if is_inside_root(path):
        return 0
    return 1 if is_elsewhere(path) else levels_above(path) + 1


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
