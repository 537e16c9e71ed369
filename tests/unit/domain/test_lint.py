"""Lint tells of every mistake, each at its place, and of none that is only the consequence of another."""

from collections.abc import Mapping

import pytest

from wherry.service.domain.dvc.context import FilesNeeded
from wherry.service.domain.dvc.lint import find_mistakes
from wherry.service.domain.dvc.project_files import find_dvc_files
from wherry.service.domain.paths import ProjectPath


def mistakes_in(files: Mapping[str, str]) -> list[str]:
    """Each mistake as "path:line:column: message"."""
    contents = {ProjectPath(path): text.encode() for path, text in files.items()}
    found = find_mistakes(find_dvc_files(contents), contents.get)
    return [f"{error.place}: {error.message}" for error in found]


def places_in(files: Mapping[str, str]) -> list[str]:
    """Only where they are."""
    return [mistake.split(": ")[0] for mistake in mistakes_in(files)]


def test_a_sound_project_has_none() -> None:
    assert not mistakes_in(
        {
            "dvc.yaml": "stages:\n  a: {cmd: x, deps: [i], params: [lr], outs: [o]}\n",
            "params.yaml": "lr: 1\n",
            ".dvc/wherry.toml": '[defaults]\nimage = "x"\n',
            "dvc.lock": "schema: '2.0'\nstages: {}\n",
        }
    )


def test_several_mistakes_of_one_stage_are_told() -> None:
    text = (
        "stages:\n"
        "  a:\n"
        "    cmd: x\n"
        "    comand: y\n"
        "    deps:\n"
        "    - i\n"
        "    - 7\n"
        "    - k.dvc\n"
        "    outs:\n"
        "    - o: {cached: true, push: 1}\n"
        "    frozen: 'no'\n"
    )
    assert places_in({"dvc.yaml": text}) == [
        "dvc.yaml:4:5",
        "dvc.yaml:7:7",
        "dvc.yaml:8:7",
        "dvc.yaml:10:11",
        "dvc.yaml:10:25",
        "dvc.yaml:11:5",
    ]


def test_mistakes_of_several_stages_and_files_are_sorted_by_place() -> None:
    found = places_in(
        {
            "sub/dvc.yaml": "stages:\n  z: {cmd: x, out: [o]}\n",
            "dvc.yaml": "stages:\n  a: {deps: [i]}\n  b: {cmd: x}\n  c: {cmd: [1]}\nplot: []\n",
            "data.dvc": "outs:\n- {path: data, md5: zz, hash: md5}\n",
            "dvc.lock": "schema: '1.0'\n",
        }
    )
    assert found == [
        "data.dvc:2:16",
        "dvc.lock:1:1",
        "dvc.yaml:2:3",
        "dvc.yaml:4:13",
        "dvc.yaml:5:1",
        "sub/dvc.yaml:2:15",
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("stages:\n  a: {cmd: [1]}\n", id="a command that is left empty"),
        pytest.param("stages:\n  a: {cmd: 1, wdir: 2}\n", id="two essential parts"),
        pytest.param(
            "stages:\n  a: {cmd: x, wdir: 2, outs: [o]}\n  b: {cmd: x, outs: [o]}\n",
            id="outputs of a stage whose folder is unknown",
        ),
        pytest.param("stages:\n  a: {cmd: x, outs: [o]}\n  b: {cmd: [\n", id="what follows broken syntax"),
    ],
)
def test_consequences_of_a_mistake_are_not_told(text: str) -> None:
    assert len(mistakes_in({"dvc.yaml": text})) == 1


def test_several_mistakes_of_the_graph_are_told_beside_those_of_files() -> None:
    text = (
        "stages:\n"
        "  a: {cmd: x, outs: [o]}\n"
        "  b: {cmd: x, outs: [o]}\n"
        "  c: {cmd: x, outs: [d]}\n"
        "  e: {cmd: x, outs: [d/f], typo: 1}\n"
        "  g: {cmd: x, deps: [h], outs: [i]}\n"
        "  j: {cmd: x, deps: [i], outs: [h]}\n"
    )
    found = mistakes_in({"dvc.yaml": text})
    assert [mistake.split(": ")[0] for mistake in found] == [
        "dvc.yaml:3:3",
        "dvc.yaml:5:3",
        "dvc.yaml:5:28",
        "dvc.yaml:6:3",
    ]
    assert "circle" in found[-1]


def test_parameters_are_checked_unless_a_stage_writes_them() -> None:
    text = (
        "stages:\n"
        "  a: {cmd: x, params: [lr, no], outs: [made.yaml]}\n"
        "  b: {cmd: x, params: [{made.yaml: [k]}, {gone.yaml: [k]}]}\n"
        "  c: {cmd: x, params: [{broken.json: [k]}, {broken.json: [l]}]}\n"
        "  d: {cmd: x, params: [{broken.json: }]}\n"
    )
    found = mistakes_in({"dvc.yaml": text, "params.yaml": "lr: 1\n", "broken.json": '{"k": }'})
    assert [mistake.split(": ")[0] for mistake in found] == [
        "broken.json:1:7",
        "dvc.yaml:2:3",
        "dvc.yaml:3:3",
    ]
    assert "'no'" in found[1]
    assert "gone.yaml" in found[2]


def test_one_missing_parameter_among_many_readers_is_told_at_its_stage() -> None:
    stages = "".join(f"  s{number}: {{cmd: x, params: [k{number}]}}\n" for number in range(20))
    whole = "  w: {cmd: x, params: [{params.yaml: }]}\n"
    params = "".join(f"k{number}: 1\n" for number in range(20) if number not in {7, 12})
    found = mistakes_in({"dvc.yaml": "stages:\n" + whole + stages, "params.yaml": params})
    assert [mistake.split(": ")[0] for mistake in found] == ["dvc.yaml:10:3", "dvc.yaml:15:3"]


def test_settings_are_checked_key_by_key() -> None:
    found = mistakes_in(
        {
            "dvc.yaml": "stages:\n"
            "  a:\n"
            "    cmd: x\n"
            "    meta:\n"
            "      other: {imag: x}\n"
            "      wherry:\n"
            "        imag: x\n"
            "        network: perhaps\n",
            ".dvc/wherry.toml": 'project = "p"\n\n[defaults]\nimage = 1\n  cpu = 2\n[defaults.env]\n"a b" = "c"\n',
        }
    )
    assert [mistake.split(": ")[0] for mistake in found] == [
        ".dvc/wherry.toml:4:1",
        ".dvc/wherry.toml:5:3",
        ".dvc/wherry.toml:6:1",
        "dvc.yaml:7:9",
        "dvc.yaml:8:9",
    ]


def test_broken_settings_have_a_line() -> None:
    assert places_in({".dvc/wherry.toml": "[run_cache]\ntrust_dvc = 1\nother = 2\n"}) == [
        ".dvc/wherry.toml:2:1",
        ".dvc/wherry.toml:3:1",
    ]
    assert places_in({".dvc/wherry.toml": "[defaults]\nimage = \n"}) == [".dvc/wherry.toml:2:9"]


def test_a_mistake_behind_an_anchor_is_told_once_for_each_stage_and_ends() -> None:
    text = "stages:\n  a: &a {cmd: x, typo: 1}\n  b: *a\n  c: {<<: *a, outs: [o]}\n"
    assert places_in({"dvc.yaml": text}) == ["dvc.yaml:2:18"] * 3


def test_lacking_parameters_are_asked_for_together() -> None:
    text = b"stages:\n  a: {cmd: x, params: [{p.yaml: [k]}, {q.yaml: [k]}]}\n"

    def load(path: ProjectPath) -> bytes | None:
        if path == "dvc.yaml":
            return text
        if path.endswith(("p.yaml", "q.yaml")):
            raise FilesNeeded([path])
        return None

    with pytest.raises(FilesNeeded) as caught:
        find_mistakes(find_dvc_files([ProjectPath("dvc.yaml")]), load)
    assert set(caught.value.paths) == {"p.yaml", "q.yaml"}


def test_templates_are_checked_stage_by_stage() -> None:
    text = (
        "vars:\n"
        "- other.yaml\n"
        "stages:\n"
        "  a: {cmd: 'x ${gone}'}\n"
        "  b: {cmd: 'x ${known} ${more}'}\n"
        "  c:\n"
        "    cmd: x\n"
        "    deps:\n"
        "    - ${known}/${nothing}\n"
        "    typo: 1\n"
        "  d:\n"
        "    foreach: [1, 2]\n"
        "    do: {cmd: 'x ${item}', outs: [same]}\n"
    )
    found = mistakes_in({"dvc.yaml": text, "params.yaml": "known: 1\n", "other.yaml": "more: 2\n"})
    lines = [int(mistake.split(":")[1]) for mistake in found]
    assert lines == [4, 9, 10, 11]
    assert "gone" in found[0]
    assert "nothing" in found[1]
    assert "same" in found[3]


@pytest.mark.parametrize(
    ("files", "where"),
    [
        pytest.param({"params.yaml": "a: [\n"}, "params.yaml:2", id="params.yaml is broken"),
        pytest.param({"dvc.yaml": "vars: [no.yaml]\n"}, "dvc.yaml:", id="vars name no file"),
    ],
)
def test_without_values_only_their_mistake_is_told(files: Mapping[str, str], where: str) -> None:
    stages = "stages:\n  a: {cmd: '${a}', deps: ['${b}']}\n"
    found = mistakes_in({**files, "dvc.yaml": files.get("dvc.yaml", "") + stages})
    assert len(found) == 1
    assert found[0].startswith(where)


def test_a_wrong_parsing_setting_is_told() -> None:
    assert places_in({".dvc/config": "[parsing]\n    bool = maybe\n"}) == [".dvc/config:2"]
