"""Parameters are found as DVC finds them and recorded only if DVC could record them."""

from typing import Any

import pytest

from wherry.service.domain.dvc.params import ParamsParser, parse_params_file, read_params
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import Params


def _stage(params: str) -> Stage:
    text = f"stages:\n  s: {{cmd: x, params: {params}}}\n"
    return parse_pipeline_file(text.encode(), ProjectPath("dvc.yaml"))[0]


def _read(params: str, **files: str) -> Params:
    contents = {ProjectPath(name.replace("__", ".")): text.encode() for name, text in files.items()}
    return read_params(_stage(params), contents)


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("p.yaml", "a: 010\n", {"a": 10}),
        ("p.txt", "a: on\n", {"a": "on"}),
        ("p.YML", "", {}),
        ("p.json", '{"a": [1.0]}', {"a": [1.0]}),
        ("p.JSON", "[]", {}),
        ("p.toml", "a = 1\n[b]\nc = 'x'\n", {"a": 1, "b": {"c": "x"}}),
        (
            "p.py",
            "a = 1\nclass B:\n    c: int = (1, 2)\nd = e = 2\nf = print\n",
            {"a": 1, "B": {"c": (1, 2)}},
        ),
    ],
)
def test_a_file_is_read_by_its_suffix(path: str, text: str, value: Any) -> None:
    assert parse_params_file(text.encode(), path) == value


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        ("p.yaml", "a: [\n", "p.yaml:2:1"),
        ("p.yaml", "- 1\n", "p.yaml:1"),
        ("p.json", '{"a": }', "p.json:1:7"),
        ("p.json", "", "p.json:1:1"),
        ("p.json", "[" * 50_000, "p.json"),
        ("p.json", "[" * 500 + "]" * 500, "p.json"),
        ("p.toml", "a = \n", "p.toml"),
        ("p.py", "a = (\n", "p.py:1:5"),
        ("p.py", "a = '\0'\n", "p.py"),
        ("p.json", "\udcff", "p.json"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_place(path: str, text: str, place: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_params_file(text.encode(errors="surrogateescape"), path)
    assert str(caught.value.place).startswith(place)


def test_files_and_keys_come_in_the_order_of_the_lock() -> None:
    params = _read(
        "[{z.yaml: [b, a]}, {a.yaml: }, lr, batch]",
        params__yaml="lr: 1\nbatch: 2\n",
        a__yaml="y: 1\nx: 2\n",
        z__yaml="a: 1\nb: 2",
    )
    assert [(file, list(values)) for file, values in params.items()] == [
        ("params.yaml", ["batch", "lr"]),
        ("a.yaml", ["x", "y"]),
        ("z.yaml", ["a", "b"]),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a.b", 1),
        (".a.b", 1),
        ("a", {"b": 1}),
        ("l.0", "x"),
        ("l.-1.k", 2),
        ("n.1", "one"),
        ("null", None),
        ("a-b.c d", 3),
    ],
)
def test_a_dotted_key_reaches_into_mappings_and_lists(key: str, value: Any) -> None:
    text = "a: {b: 1}\nl: [x, {k: 2}]\nn: {1: one}\n'null':\na-b: {c d: 3}\n"
    assert _read(f"['{key}']", params__yaml=text) == {"params.yaml": {key: value}}


def test_stages_that_share_a_parser_read_the_same_and_hear_of_what_is_wrong_each_at_its_place() -> None:
    parser = ParamsParser()
    files: dict[ProjectPath, bytes | None] = {ProjectPath("params.yaml"): b"a: 1\nb: {c: 2}\n"}
    for params, value in (("[a]", {"a": 1}), ("[a]", {"a": 1}), ("[b.c]", {"b.c": 2})):
        assert read_params(_stage(params), files, parser) == {"params.yaml": value}
    for _ in range(2):
        with pytest.raises(PipelineInvalid) as refused:
            read_params(_stage("[gone]"), files, parser)
        assert refused.value.place is not None
    files[ProjectPath("params.yaml")] = b"a: 3\n"
    assert read_params(_stage("[a]"), files, parser) == {"params.yaml": {"a": 3}}


def test_a_pattern_is_recorded_as_it_is_written() -> None:
    assert _read("['tr*.l?']", params__yaml="train: {lr: 1, name: x}\n") == {"params.yaml": {"tr*.l?": 1}}


def test_a_pattern_that_matches_several_is_refused_at_the_stage() -> None:
    with pytest.raises(PipelineInvalid, match=r"stage 's'.*'\*\.lr' matches several") as caught:
        _read("['*.lr']", params__yaml="a: {lr: 1}\nb: {lr: 1}\n")
    assert str(caught.value.place) == "dvc.yaml:2:3"
    assert "exactly one" in caught.value.hint


def test_a_pattern_without_a_match_is_missing() -> None:
    with pytest.raises(PipelineInvalid, match=r"'x\*' are missing from params\.yaml"):
        _read("['x*']", params__yaml="a: 1\n")


def test_any_depth_may_be_named_once() -> None:
    with pytest.raises(PipelineInvalid, match=r"'\*\*' may occur only once"):
        _read("['**.a.**']", params__yaml="a: 1\n")


def test_missing_keys_are_refused_together_at_the_stage() -> None:
    with pytest.raises(
        PipelineInvalid, match=r"stage 's'.*'lr', 'a\.b' are missing from params\.yaml"
    ) as caught:
        _read("[lr, a.b, c]", params__yaml="a: 1\nc: 1\n")
    assert str(caught.value.place) == "dvc.yaml:2:3"


@pytest.mark.parametrize("params", ["[lr]", "[{params.yaml: }]"])
def test_a_missing_file_is_refused(params: str) -> None:
    with pytest.raises(PipelineInvalid, match=r"params\.yaml.* does(n't| not) exist"):
        read_params(_stage(params), {ProjectPath("params.yaml"): None})


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ("[d]", "d: 2020-01-01\n"),
        ("[d]", "d: {1: a, b: c}\n"),
        ("[d]", "d: !!binary aGk=\n"),
        ("[{params.yaml: }]", "1: a\n"),
        ("[d.1]", "d: {1: a, '1': b}\n"),
    ],
)
def test_what_cannot_be_recorded_is_refused(params: str, text: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        _read(params, params__yaml=text)
    assert str(caught.value.place) == "dvc.yaml:2:3"


def test_a_date_that_no_stage_reads_does_no_harm() -> None:
    assert _read("[a]", params__yaml="a: 1\nd: 2020-01-01\n") == {"params.yaml": {"a": 1}}
