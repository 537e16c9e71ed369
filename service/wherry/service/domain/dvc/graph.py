"""The graph: who writes what, who reads from whom, and in what order DVC goes through it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from wherry.service.domain.dvc.collection import leave_out_files_in_outputs
from wherry.service.domain.dvc.output_tree import OutputTree, Owner
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage, StageName
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings

# A cycle of more stages is shown by its ends.
_NAMES_SHOWN = 20

_Item = TypeVar("_Item", Stage, DataSource)
_Node = TypeVar("_Node")


def build_pipeline(
    stages: Iterable[Stage], sources: Iterable[DataSource], around: Surroundings = NOWHERE
) -> Pipeline:
    """Connect stages and data sources, in the order given, with DVC's checks of the whole graph.

    A stage reads from another when a dependency or parameters file of it is an output of the other, lies in one,
    or is a folder that holds one.

    Raises:
        PipelineInvalid: for one output written twice, outputs inside outputs, a DVC file inside an output, a cycle.
    """
    given: list[Stage | DataSource] = [*stages, *sources]
    met = leave_out_files_in_outputs(given)
    by_name = _by_name(item for item in met if isinstance(item, Stage))
    sources_by_name = _by_name(item for item in met if isinstance(item, DataSource))
    items: list[Stage | DataSource] = [*by_name.values(), *sources_by_name.values()]
    tree = open_output_tree(items)
    for item in items:
        for out in item.outs:
            tree.add(Owner(item.name, item.place, out.project_path))
    first_of_file: dict[ProjectPath, Stage | DataSource] = {}
    for item in items:
        first_of_file.setdefault(item.file, item)
    for item in first_of_file.values():
        holder = tree.at_or_above(item.file)
        if holder is not None:
            raise PipelineInvalid(
                f"{item.file!r}, the file of {item.name!r}, lies inside {holder.path!r},"
                f" an output of {holder.name!r} ({holder.place})",
                place=item.place,
            )
    upstream = {stage.name: _upstream_of(stage, tree) for stage in by_name.values()}
    _refuse_cycle(upstream, by_name)
    return Pipeline(stages=by_name, sources=sources_by_name, upstream=upstream, around=around)


def open_output_tree(items: Iterable[Stage | DataSource]) -> OutputTree:
    """An empty tree for all paths of these."""
    paths = (
        item.project_path
        for owner in items
        for item in ((*owner.inputs, *owner.outs) if isinstance(owner, Stage) else owner.outs)
    )
    return OutputTree(paths)


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


def _upstream_of(stage: Stage, tree: OutputTree) -> tuple[StageName, ...]:
    owners = (owner for item in stage.inputs for owner in tree.touching(item.project_path))
    return tuple(dict.fromkeys(owner.name for owner in owners))


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
        hint="Take one of these dependencies out: "
        + "; ".join(f"{name} is at {stages[name].place}" for name in names[:_NAMES_SHOWN]),
        place=stages[names[0]].place,
    )


def active_upstream(pipeline: Pipeline, name: StageName) -> tuple[StageName, ...]:
    """What `dvc repro` brings up to date before a stage: nothing for a frozen one or a data source."""
    stage = pipeline.stages.get(name)
    return () if stage is None or stage.frozen else pipeline.upstream[name]


def active_downstream(pipeline: Pipeline) -> Mapping[StageName, list[StageName]]:
    """Who reads from whom, the other way round than `active_upstream`."""
    return reversed_edges({name: active_upstream(pipeline, name) for name in pipeline.stages})


def reversed_edges(edges: Mapping[_Node, Iterable[_Node]]) -> dict[_Node, list[_Node]]:
    """Turn every edge round. Nodes to which nothing leads have no entry."""
    turned: dict[_Node, list[_Node]] = {}
    for name, others in edges.items():
        for other in others:
            turned.setdefault(other, []).append(name)
    return turned


def reachable(starts: Iterable[_Node], neighbours: Callable[[_Node], Iterable[_Node]]) -> set[_Node]:
    """Collect `starts` and all that can be reached from them."""
    found: set[_Node] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(neighbours(name))
    return found


def connected(starts: Iterable[_Node], edges: Mapping[_Node, Iterable[_Node]]) -> set[_Node]:
    """Collect `starts` and all that is connected with them, in whatever direction the edges go."""
    turned = reversed_edges(edges)
    return reachable(starts, lambda name: (*edges.get(name, ()), *turned.get(name, ())))


def topological_order(
    pipeline: Pipeline, names: Collection[StageName] | None = None, *, through_frozen: bool = False
) -> tuple[StageName, ...]:
    """Order stages and sources as `dvc repro` goes through them, over all of them or over `names`.

    Depth-first, a stage after what it reads from; starting points in the order of the pipeline, neighbours in the
    order of deps. Frozen stages are not walked through, so what they read from may come after them;
    with `through_frozen` they are like any other.
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
                before = (
                    pipeline.upstream.get(name, ()) if through_frozen else active_upstream(pipeline, name)
                )
                stack.extend((other, False) for other in reversed(before))
    return tuple(order)
