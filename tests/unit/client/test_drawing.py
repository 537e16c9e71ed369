"""Drawings: what `dvc dag` cannot be asked about; the rest is held against DVC in tests/conformance."""

from wherry.client.drawing import Drawing, collapsed, dot_text, list_lines, mermaid_text, stages_drawing
from wherry.v1.pipelines_pb2 import Pipeline, PipelineEdge, PipelineStage


def test_nodes_come_in_the_order_in_which_the_project_is_read() -> None:
    pipeline = Pipeline(
        stages=[
            PipelineStage(name="a", position=1, frozen=True, always_changed=True),
            PipelineStage(name="b", position=0),
        ],
        edges=[PipelineEdge(producer="a", consumer="b")],
    )
    drawing = stages_drawing(pipeline)
    assert drawing.nodes == ("b", "a")
    assert list(list_lines(drawing)) == ["a  (frozen, always)", "  b  <- a"]
    assert dot_text(drawing) == 'strict digraph {\n"b";\n"a";\n"a" -> "b";\n}\n'


def test_groups_that_read_from_themselves_and_each_other_are_listed_once() -> None:
    drawing = collapsed(
        Drawing(
            nodes=("x@1", "x@2", "y@1", "y@2", "a@b.dvc", "z"),
            edges=frozenset({("x@1", "x@2"), ("x@2", "y@1"), ("y@2", "x@1"), ("z", "x@1")}),
        )
    )
    assert drawing.nodes == ("a@b.dvc", "z", "x", "y")
    lines = [line.strip() for line in list_lines(drawing)]
    assert sorted(line.split()[0] for line in lines) == ["a@b.dvc", "x", "y", "z"]
    assert dot_text(drawing).startswith("digraph {\n")


def test_a_thousand_parts_are_drawn_in_one_pass() -> None:
    names = tuple(f"s{number:04}" for number in range(1000))
    text = mermaid_text(Drawing(nodes=names, edges=frozenset()))
    assert text.splitlines()[-1] == '\tnode1000["s0999"]'
