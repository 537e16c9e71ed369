"""dvc.yaml becomes stages with all that it says."""

import pytest

from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Output, ParamsDependency, Stage
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind


def _parse(text: str, path: str = "dvc.yaml") -> tuple[Stage, ...]:
    return parse_pipeline_file(text.encode(), ProjectPath(path))


def test_a_stage_has_what_the_file_says() -> None:
    (stage,) = _parse(
        """\
stages:
  train:
    cmd: [a, b]
    deps: [./x, d/]
    outs: [m, n: {cache: false, push: false}]
    metrics: [r.json: {cache: false}]
    plots: [p.csv]
    frozen: true
    always_changed: true
    desc: text
    meta: {wherry: {image: i}, other: 1}
"""
    )
    assert (stage.name, stage.key, stage.file, stage.wdir) == ("train", "train", "dvc.yaml", ".")
    assert stage.cmd == stage.commands == ("a", "b")
    assert [(dep.path, dep.project_path) for dep in stage.deps] == [("./x", "x"), ("d/", "d")]
    assert stage.outs == (
        Output(path="m", project_path=ProjectPath("m"), kind=OutputKind.OUT),
        Output(path="n", project_path=ProjectPath("n"), kind=OutputKind.OUT, cache=False, push=False),
        Output(path="r.json", project_path=ProjectPath("r.json"), kind=OutputKind.METRIC, cache=False),
        Output(path="p.csv", project_path=ProjectPath("p.csv"), kind=OutputKind.PLOT),
    )
    assert stage.frozen
    assert stage.always_changed
    assert stage.settings == {"image": "i"}
    assert str(stage.place) == "dvc.yaml:2:3"
    assert str(stage.settings_place) == "dvc.yaml:11:12"


def test_a_stage_below_the_root_is_addressed_by_its_file_and_resolves_from_its_wdir() -> None:
    (stage,) = _parse(
        "stages: {s: {cmd: x, wdir: ../w, deps: [i], params: [a, {../q.yaml: [b]}]}}", "sub/dvc.yaml"
    )
    assert stage.name == "sub/dvc.yaml:s"
    assert stage.wdir == "w"
    assert stage.deps[0].project_path == "w/i"
    assert [params.project_path for params in stage.params] == ["w/params.yaml", "q.yaml"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("[b, a, b]", [("params.yaml", ("b", "a"))]),
        ("[{z.json: [k]}, a, {z.json: [l]}]", [("params.yaml", ("a",)), ("z.json", ("k", "l"))]),
        ("[a, {params.yaml: }]", [("params.yaml", None)]),
        ("[{z.yaml: [k]}, {z.yaml: []}]", [("z.yaml", None)]),
        ("[{./z.yaml: [k]}]", [("z.yaml", ("k",))]),
    ],
)
def test_params_are_merged_by_file(params: str, expected: list[tuple[str, tuple[str, ...] | None]]) -> None:
    (stage,) = _parse(f"stages: {{s: {{cmd: x, params: {params}}}}}")
    assert [(entry.path, entry.keys) for entry in stage.params] == expected
    assert all(isinstance(entry, ParamsDependency) for entry in stage.params)


def test_a_repeated_output_keeps_its_position_and_takes_the_later_flags() -> None:
    (stage,) = _parse("stages: {s: {cmd: x, outs: [o, p, o: {cache: false}]}}")
    assert [(out.path, out.cache) for out in stage.outs] == [("o", False), ("p", True)]


@pytest.mark.parametrize(
    ("body", "always"),
    [
        ("", True),
        ("always_changed: true, deps: [i]", True),
        ("deps: [i]", False),
        ("params: [a]", False),
        ("outs: [o]", False),
    ],
)
def test_a_stage_that_neither_reads_nor_writes_runs_always(body: str, *, always: bool) -> None:
    (stage,) = _parse(f"stages: {{s: {{cmd: x, {body}}}}}")
    assert stage.runs_always is always


def test_a_string_command_is_run_line_by_line() -> None:
    (stage,) = _parse('stages: {s: {cmd: "a\\n\\nb\\n"}}')
    assert stage.commands == ("a", "", "b")


def test_an_unknown_key_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(PipelineInvalid, match="stage 's': unknown key 'dep'") as caught:
        _parse("stages:\n  s:\n    cmd: x\n    dep: [i]\n")
    assert caught.value.hint == "Did you mean 'deps'?"
    assert str(caught.value.place) == "dvc.yaml:4:5"


def test_a_wrong_kind_is_named() -> None:
    with pytest.raises(PipelineInvalid, match=r"stages\.s\.deps must be a list, not text"):
        _parse("stages: {s: {cmd: x, deps: i}}")


def test_two_spellings_of_one_parameters_file_are_refused() -> None:
    with pytest.raises(PipelineInvalid, match="two ways"):
        _parse("stages: {s: {cmd: x, params: [{p.yaml: [a]}, {./p.yaml: [b]}]}}")


_MD5 = "b026324c6904b2a9cb4b88d6d61c81d1"


def test_a_data_file_says_what_is_tracked() -> None:
    text = f"outs:\n- md5: {_MD5}.dir\n  size: 6\n  nfiles: 2\n  hash: md5\n  path: raw\n"
    source = parse_data_file(text.encode(), ProjectPath("data/raw.dvc"))
    assert source.name == "data/raw.dvc"
    (out,) = source.outs
    assert (out.path, out.project_path, out.hash, out.total_bytes, out.nfiles, out.executable) == (
        "raw",
        "data/raw",
        f"{_MD5}.dir",
        6,
        2,
        False,
    )


def test_a_hash_of_dvc_2_is_read_and_marked() -> None:
    (out,) = parse_data_file(f"outs: [{{md5: {_MD5}, path: x}}]".encode(), ProjectPath("x.dvc")).outs

    assert (out.hash, out.is_legacy, out.total_bytes) == (_MD5, True, None)


_FILES = (
    f"[{{relpath: b, md5: {_MD5}, size: 2}}, "
    f"{{relpath: a/c, size: 3, cloud: {{r: {{md5: {_MD5}, version_id: '1'}}}}}}]"
)


@pytest.mark.parametrize(
    ("entry", "recorded"),
    [
        (f"md5: {_MD5}, hash: md5, cloud: {{r: {{etag: abc, version_id: '1'}}}}", _MD5),
        (f"hash: md5, cloud: {{r: {{md5: {_MD5}}}}}", _MD5),
        (f"md5: {_MD5}, hash: md5, etag: abc, version_id: '1'", _MD5),
        (f"hash: md5, files: {_FILES}", "0606fdd136dd36c11e364223f0ae3eff.dir"),
        (f"hash: md5, md5: {_MD5}.dir, files: []", f"{_MD5}.dir"),
        (f"files: {_FILES}", None),
        ("hash: md5, files: [{relpath: a, etag: abc}]", None),
        (f"md5: {_MD5}, hash: blake3", None),
        ("hash: md5, etag: abc", None),
        ("checksum: abc", None),
        ("hash: md5, md5: ''", None),
        ("hash: md5, md5: ", None),
    ],
)
def test_only_an_md5_counts_wherever_it_stands(entry: str, recorded: str | None) -> None:
    (out,) = parse_data_file(f"outs: [{{path: x, {entry}}}]".encode(), ProjectPath("x.dvc")).outs

    assert out.hash == recorded
    if "a/c" in entry:
        assert (out.total_bytes, out.nfiles) == (5, 2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("cloud: {a: {etag: abc}, b: {etag: abc}}", "more than one cloud"),
        ("cloud: {a: {path: x}}", "unknown key 'path'"),
        ("cloud: ", "must be a mapping"),
        ("files: [{md5: abc}]", "relpath"),
        ("etag: a", "3 characters"),
        ("etag: 12", "3 characters"),
        ("etag: [abc]", "must be text"),
        ("etag: abc, version_id: 1", "must be text"),
        ("md5: 01234567890123456789012345678901", "quotes: '01234567890123456789012345678901'"),
    ],
)
def test_what_dvc_would_refuse_of_an_entry_is_refused(entry: str, message: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_data_file(f"outs:\n- {{path: x, {entry}}}\n".encode(), ProjectPath("x.dvc"))

    assert message in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.place is not None
    assert caught.value.place.line == 2


def test_a_data_file_says_whether_it_is_frozen_and_always_changed() -> None:
    def read(text: str) -> tuple[bool, bool]:
        source = parse_data_file(f"{text}\nouts: [{{md5: {_MD5}, path: x}}]".encode(), ProjectPath("x.dvc"))
        return source.frozen, source.always_changed

    assert read("") == (False, False)
    assert read("frozen: true") == (True, False)
    assert read("locked: true\nalways_changed: true") == (True, True)


@pytest.mark.parametrize(
    "md5", ["12345678901234567890123456789012", "xyz", "B026324C6904B2A9CB4B88D6D61C81D1"]
)
def test_what_is_no_md5_is_refused(md5: str) -> None:
    with pytest.raises(PipelineInvalid):
        parse_data_file(f"outs: [{{md5: {md5}, hash: md5, path: x}}]".encode(), ProjectPath("x.dvc"))
