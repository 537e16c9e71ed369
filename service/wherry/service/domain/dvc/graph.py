"""The graph: who writes what, who reads from whom, and in what order DVC goes through it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage, StageName
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath

# A cycle of more stages is shown by its ends.
_NAMES_SHOWN = 20

_Item = TypeVar("_Item", Stage, DataSource)


@dataclass(frozen=True, slots=True)
class _Owner:
    name: StageName
    place: Place
    path: ProjectPath


@dataclass(slots=True)
class _Node:
    """A folder or file on the way to outputs."""

    owner: _Owner | None = None
    children: "dict[str, _Node]" = field(default_factory=dict)


def _parts(path: ProjectPath) -> list[str]:
    return [] if path == ROOT else path.split("/")


class _OutputTree:
    """Outputs by the parts of their paths, so that overlaps are found in the length of a path."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, owner: _Owner) -> None:
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

    def at_or_above(self, path: ProjectPath) -> _Owner | None:
        node = self._root
        for part in _parts(path):
            if node.owner is not None or part not in node.children:
                return node.owner
            node = node.children[part]
        return node.owner

    def touching(self, path: ProjectPath) -> Iterator[_Owner]:
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


def _owners_of(node: _Node) -> Iterator[_Owner]:
    stack = [node]
    while stack:
        current = stack.pop()
        if current.owner is not None:
            yield current.owner
        stack.extend(reversed(current.children.values()))


def _refuse_duplicate(first: _Owner, second: _Owner) -> PipelineInvalid:
    if first.name == second.name:
        return PipelineInvalid(f"stage {first.name!r} writes {second.path!r} twice", place=second.place)
    return PipelineInvalid(
        f"{second.path!r} is written by {first.name!r} ({first.place}) and by {second.name!r} ({second.place})",
        hint="An output belongs to one stage.",
        place=second.place,
    )


def _refuse_overlap(parent: _Owner, child: _Owner) -> PipelineInvalid:
    return PipelineInvalid(
        f"{child.path!r} of {child.name!r} ({child.place}) lies inside {parent.path!r}"
        f" of {parent.name!r} ({parent.place})",
        hint="Write them to separate folders, or track only one of them.",
        place=child.place,
    )


def build_pipeline(stages: Iterable[Stage], sources: Iterable[DataSource]) -> Pipeline:
    """Connect stages and data sources, in the order given, with DVC's checks of the whole graph.

    A stage reads from another when a dependency or parameters file of it is an output of the other, lies in one,
    or is a folder that holds one.

    Raises:
        PipelineInvalid: for one output written twice, outputs inside outputs, a DVC file inside an output, a cycle.
    """
    by_name = _by_name(stages)
    sources_by_name = _by_name(sources)
    tree = _OutputTree()
    items: list[Stage | DataSource] = [*by_name.values(), *sources_by_name.values()]
    for item in items:
        for out in item.outs:
            tree.add(_Owner(item.name, item.place, out.project_path))
    for item in items:
        holder = tree.at_or_above(item.file)
        if holder is not None:
            raise PipelineInvalid(
                f"{item.file!r}, the file of {item.name!r}, lies inside {holder.path!r},"
                f" an output of {holder.name!r} ({holder.place})",
                place=item.place,
            )
    upstream = {stage.name: _upstream_of(stage, tree) for stage in by_name.values()}
    _refuse_cycle(upstream, by_name)
    return Pipeline(stages=by_name, sources=sources_by_name, upstream=upstream)


def _by_name(items: Iterable[_Item]) -> dict[StageName, _Item]:
    by_name: dict[StageName, _Item] = {}
    for item in items:
        if item.name in by_name:
            other = by_name[item.name]
            raise PipelineInvalid(
                f"{item.name!r} stands at {other.place} and at {item.place}", place=item.place
            )
        by_name[item.name] = item
    return by_name


def _upstream_of(stage: Stage, tree: _OutputTree) -> tuple[StageName, ...]:
    paths = [*(dep.project_path for dep in stage.deps), *(params.project_path for params in stage.params)]
    return tuple(dict.fromkeys(owner.name for path in paths for owner in tree.touching(path)))


def _refuse_cycle(
    upstream: Mapping[StageName, tuple[StageName, ...]], stages: Mapping[StageName, Stage]
) -> None:
    """Walk in depth; a stage met again while it is still on the way closes a cycle."""
    done: set[StageName] = set()
    for start in upstream:
        way: dict[StageName, Iterator[StageName]] = {}
        current: StageName | None = start if start not in done else None
        while current is not None:
            neighbours = way.setdefault(current, iter(upstream.get(current, ())))
            following = next((name for name in neighbours if name not in done), None)
            if following is None:
                del way[current]
                done.add(current)
                current = next(reversed(way), None)
            elif following in way:
                names = list(way)
                raise _cycle_error(names[names.index(following) :], stages)
            else:
                current = following


def _cycle_error(names: list[StageName], stages: Mapping[StageName, Stage]) -> PipelineInvalid:
    # Upstream was walked, so data flows the other way round.
    ring = [names[0], *reversed(names[1:]), names[0]]
    if len(ring) > _NAMES_SHOWN:
        ring[_NAMES_SHOWN // 2 : -(_NAMES_SHOWN // 2)] = [StageName("…")]
    return PipelineInvalid(
        f"the stages depend on each other in a circle: {' -> '.join(ring)}",
        hint="; ".join(f"{name} is at {stages[name].place}" for name in names[:_NAMES_SHOWN]),
        place=stages[names[0]].place,
    )


def active_upstream(pipeline: Pipeline, name: StageName) -> tuple[StageName, ...]:
    """What `dvc repro` brings up to date before a stage: nothing for a frozen one or a data source."""
    stage = pipeline.stages.get(name)
    return () if stage is None or stage.frozen else pipeline.upstream[name]


def topological_order(
    pipeline: Pipeline, names: Collection[StageName] | None = None
) -> tuple[StageName, ...]:
    """Order stages and sources as `dvc repro` goes through them, over all of them or over `names`.

    Depth-first, a stage after what it reads from; starting points in the order of the pipeline, neighbours in the
    order of deps. Frozen stages are not walked through, so what they read from may come after them.
    """
    chosen = None if names is None else frozenset(names)
    order: dict[StageName, None] = {}
    opened: set[StageName] = set()
    for start in [*pipeline.stages, *pipeline.sources]:
        stack = [(start, False)]
        while stack:
            name, finished = stack.pop()
            if finished:
                order[name] = None
            elif name not in opened and (chosen is None or name in chosen):
                opened.add(name)
                stack.append((name, True))
                stack.extend((other, False) for other in reversed(active_upstream(pipeline, name)))
    return tuple(order)
