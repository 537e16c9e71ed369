"""Drawings of a pipeline as text: `--dot` and `--mermaid` to the byte what DVC 3 writes, and a plain list.

Pure functions of a Drawing. What belongs to it is the service's to say; how it is laid out is said here.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wherry.v1.pipelines_pb2 import Pipeline

_GROUP_MARK = "@"
_DATA_FILE_SUFFIX = ".dvc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A graph of labels."""

    nodes: tuple[str, ...]
    """In the order in which the project is read."""
    edges: frozenset[tuple[str, str]]
    """From what is produced to what is made of it."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What else is to be said of a node."""


def stages_drawing(pipeline: Pipeline) -> Drawing:
    """Draw stages and data sources."""
    stages = sorted(pipeline.stages, key=lambda stage: stage.position)
    notes = {}
    for stage in stages:
        words = (("frozen", stage.frozen), ("always", stage.always_changed))
        notes[stage.name] = ", ".join(word for word, is_so in words if is_so)
    return Drawing(
        nodes=tuple(stage.name for stage in stages),
        edges=frozenset((edge.producer, edge.consumer) for edge in pipeline.edges),
        notes=notes,
    )


def outputs_drawing(pipeline: Pipeline, folder: str) -> Drawing:
    """Draw outputs, by their paths as seen from `folder` (relative to the DVC root; empty: the root)."""

    def label(path: str) -> str:
        # What lies outside the project has one name, wherever one looks from.
        is_outside = path.startswith("/") or "://" in path
        return path if is_outside else posixpath.relpath(path, folder or ".")

    return Drawing(
        nodes=tuple(label(path) for path in pipeline.outputs),
        edges=frozenset((label(edge.producer), label(edge.consumer)) for edge in pipeline.output_edges),
    )


def collapsed(drawing: Drawing) -> Drawing:
    """Draw all stages of a foreach or matrix definition as one node, as `--collapse-foreach-matrix` does.

    DVC puts these nodes behind the others, in no certain order; here it is that of their first stages.
    """
    names = {name: _group(name) for name in drawing.nodes}
    kept = [name for name in drawing.nodes if names[name] == name]
    groups = [group for name, group in names.items() if group != name]
    return Drawing(
        nodes=tuple(dict.fromkeys([*kept, *groups])),
        edges=frozenset((names[producer], names[consumer]) for producer, consumer in drawing.edges),
        notes={name: drawing.notes.get(name, "") for name in kept},
    )


def dot_text(drawing: Drawing) -> str:
    """Write a graph for Graphviz, without the line break at the very end."""
    lines = ["digraph {" if any(a == b for a, b in drawing.edges) else "strict digraph {"]
    lines += [f"{_quoted(name)};" for name in drawing.nodes]
    lines += [
        f"{_quoted(producer)} -> {_quoted(consumer)};"
        for producer, consumers in _adjacency(drawing).items()
        for consumer in consumers
    ]
    return "\n".join([*lines, "}", ""])


def mermaid_text(drawing: Drawing) -> str:
    """Write a Mermaid flowchart, one part of the graph after the other, without a line break at the end."""
    text = ["flowchart TD"]
    consumers = _adjacency(drawing)
    total = 0
    for part in _parts(drawing):
        nodes = {name: f"node{number}" for number, name in enumerate(sorted(part), total + 1)}
        total += len(nodes)
        text += [f'\t{node}["{name}"]' for name, node in nodes.items()]
        text += [f"\t{nodes[name]}-->{nodes[other]}" for name in nodes for other in sorted(consumers[name])]
    return "\n".join(text)


def markdown_text(drawing: Drawing) -> str:
    """Write a Mermaid flowchart as a block of Markdown."""
    return f"```mermaid\n{mermaid_text(drawing)}\n```"


def list_lines(drawing: Drawing, order: Iterable[str] | None = None) -> Iterator[str]:
    """List nodes, each after what it is made of and indented by how far it is from the sources.

    `order` says in which order they come; without it the lines are found from the edges.
    """
    before: dict[str, list[str]] = {}
    for producer, consumer in sorted(drawing.edges):
        if producer != consumer:
            before.setdefault(consumer, []).append(producer)
    depth: dict[str, int] = {}
    for name in _after_producers(drawing, before) if order is None else order:
        producers = before.get(name, [])
        depth[name] = 1 + max((depth.get(other, 0) for other in producers), default=-1)
        marks = f"  ({drawing.notes[name]})" if drawing.notes.get(name) else ""
        after = f"  <- {', '.join(producers)}" if producers else ""
        yield f"{'  ' * depth[name]}{name}{marks}{after}"


def _group(name: str) -> str:
    return name if name.endswith(_DATA_FILE_SUFFIX) else name.split(_GROUP_MARK, maxsplit=1)[0]


def _quoted(name: str) -> str:
    """Quote a label as DVC does: one that begins or ends with a quotation mark is taken as it is."""
    return name if name[:1] == '"' or name[-1:] == '"' else f'"{name}"'


def _adjacency(drawing: Drawing) -> Mapping[str, list[str]]:
    """Consumers of each producer, both in the order of the nodes."""
    position = {name: number for number, name in enumerate(drawing.nodes)}
    consumers: dict[str, list[str]] = {name: [] for name in drawing.nodes}
    for producer, consumer in sorted(drawing.edges, key=lambda edge: (position[edge[0]], position[edge[1]])):
        consumers[producer].append(consumer)
    return consumers


def _parts(drawing: Drawing) -> Iterator[list[str]]:
    """The parts of the graph that are not connected with each other, by their first nodes."""
    neighbours: dict[str, list[str]] = {name: [] for name in drawing.nodes}
    for producer, consumer in drawing.edges:
        neighbours[producer].append(consumer)
        neighbours[consumer].append(producer)
    seen: set[str] = set()
    for start in drawing.nodes:
        part, waiting = [], [start]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                part.append(name)
                waiting.extend(neighbours[name])
        if part:
            yield part


def _after_producers(drawing: Drawing, before: Mapping[str, list[str]]) -> Iterator[str]:
    """Each node after its producers; collapsed groups may read from each other, so each is entered once."""
    entered: set[str] = set()
    for start in drawing.nodes:
        waiting = [(start, False)]
        while waiting:
            name, is_done = waiting.pop()
            if is_done:
                yield name
            elif name not in entered:
                entered.add(name)
                waiting.append((name, True))
                waiting.extend((other, False) for other in reversed(before.get(name, ())))
