"""`plots show` and `plots diff` give the specifications that real DVC gives in the same project."""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Finished, Project, Service, git, new_project
from tests.e2e.in_process import Question, ask_dvc, ask_wherry

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_FILES = {
    "dvc.yaml": """\
stages:
  train:
    cmd: "true"
    plots:
    - out.csv: {cache: false, x: epoch, y: loss, title: Loss, template: simple}
    - bare.csv: {cache: false, header: false, y: '1'}
    - tab.tsv: {cache: false}
    - img: {cache: false}
    - gone.json
plots:
- curves:
    x: epoch
    y:
      out.csv: [loss, acc]
      other.json: loss
    template: smooth
- one file: {x: {out.csv: epoch}, y: {other.json: loss}, y_label: what, x_label: when}
- confusion.yaml: {template: confusion, x: actual, y: predicted, title: C}
- nested.json
- bars: {template: bar_horizontal, x: {bars.csv: n}, y: {bars.csv: name}}
- broken field: {x: nothing, y: {out.csv: loss}}
- logs
- logs/b.csv: {x: s}
""",
    "out.csv": "epoch,loss,acc\n0,3,0.1\n1,2.5,0.2\n2,1,0.9\n",
    "other.json": '[{"loss": 9}, {"loss": 8}, {"loss": 7}]',
    "bare.csv": "0,5\n1,6\n",
    "tab.tsv": "a\tb c\n1\t2\n3\t4\n",
    "confusion.yaml": "- {actual: a, predicted: b}\n- {actual: a, predicted: a}\n",
    "nested.json": '{"train": {"h": [{"v": 1, "w.x": 2}, {"v": 2, "w.x": 3}]}, "odd": [{"q": 1}, {"z": 1}], "n": 1}',
    "bars.csv": "name,n\nx,1\ny,2\n",
    "logs/a.csv": "s,v\n1,2\n2,3\n",
    "logs/b.csv": "s,v\n1,5\n2,6\n",
    "sub/dvc.yaml": "plots:\n- curves: {y: {../other.json: loss}}\n- own.csv\n",
    "sub/own.csv": "t,u\n1,2\n",
    "loose.csv": "k,m\n1,2\n2,4\n",
}
_JSON: tuple[Question, ...] = (
    ("", ("plots", "show", "--json")),
    (
        "sub",
        ("plots", "show", "--json", "curves", "own.csv", "../confusion.yaml", "../nested.json", "../img"),
    ),
    ("", ("plots", "show", "--json", "--split")),
    ("", ("plots", "show", "--json", "curves", "loose.csv")),
    (
        "",
        (
            "plots",
            "show",
            "--json",
            "bare.tsv",
            "-t",
            "scatter",
            "--title",
            "T",
            "--x-label",
            "X",
            "--y-label",
            "Y",
        ),
    ),
    ("", ("plots", "diff", "--json", "first", "second")),
    ("sub", ("plots", "diff", "--json", "first", "workspace", "--targets", "curves", "own")),
    ("", ("plots", "show", "--show-vega", "nested.json", "-y", "v")),
    ("", ("plots", "show", "--show-vega", "loose.csv", "-x", "k", "-y", "m", "-t", "scatter_jitter")),
    ("", ("plots", "show", "--show-vega", "loose.csv", "--no-header", "-t", "bar_horizontal_sorted")),
    ("", ("plots", "show", "--show-vega", "confusion.yaml", "-t", "confusion_normalized")),
    ("", ("plots", "templates", "linear")),
    ("", ("plots", "templates", "confusion")),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    project = new_project(tmp_path_factory.mktemp("plots") / "project", service, _FILES)
    (project.root / "img").mkdir()
    (project.root / "img" / "p.png").write_bytes(_PIXEL)
    project.commit("first")
    git(project.root, "tag", "first")
    project.write({"out.csv": "epoch,loss,acc\n0,2,0.2\n1,1,0.4\n2,0.5,0.95\n"})
    project.commit("second")
    git(project.root, "tag", "second")
    project.write({"other.json": '[{"loss": 4}, {"loss": 3}, {"loss": 2}]'})
    return project


@pytest.fixture(scope="module")
def answers(project: Project, service: Service) -> Mapping[Question, tuple[Finished, Finished]]:
    """DVC's and ours."""
    theirs, ours = ask_dvc(project.root, _JSON), ask_wherry(service, project.root, _JSON)
    return {question: pair for question, *pair in zip(_JSON, theirs, ours, strict=True)}  # type: ignore[misc]


@pytest.mark.parametrize("question", _JSON, ids=lambda question: " ".join((question[0], *question[1])))
def test_the_json_is_that_of_dvc(
    answers: Mapping[Question, tuple[Finished, Finished]], question: Question
) -> None:
    theirs, ours = answers[question]
    assert ours.code == theirs.code == 0, ours.err + theirs.err
    assert _plain(ours.json()) == _plain(theirs.json())


def _plain(value: Any) -> Any:
    """Of errors the place counts; where an image was written, and in which order errors are told, does not."""
    if isinstance(value, dict) and "msg" in value:
        return {key: value.get(key) for key in ("name", "rev", "source")}
    if isinstance(value, dict):
        found = {key: _plain(inner) for key, inner in value.items() if key != "url"}
        if "errors" in found:
            found["errors"] = sorted(found["errors"], key=json.dumps)
        return found
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def test_the_page_holds_all_that_it_needs(project: Project, service: Service) -> None:
    (done,) = ask_wherry(service, project.root, [("", ("plots", "diff", "first", "-o", "page"))])
    assert done.expect(0).out.strip() == (project.root / "page" / "index.html").as_uri()
    page = (project.root / "page" / "index.html").read_text()
    assert base64.b64encode(_PIXEL).decode() in page
    specs = [json.loads(text) for text in re.findall(r'vegaEmbed\("#plot\d+", (\{.*?\}), \{theme', page)]
    assert "C" in [spec["title"]["text"] for spec in specs]
    assert not re.findall(r'(?:src|href)="https?:', page)
    # The libraries themselves.
    assert len(page) > 800_000


def test_each_plot_is_drawn_as_a_file_and_images_stay_what_they_are(
    project: Project, service: Service
) -> None:
    """Every template of the project, by a renderer of its own."""
    (done,) = ask_wherry(service, project.root, [("", ("plots", "show", "--format", "svg", "-o", "figures"))])
    files = [Path(line) for line in done.expect(0).out.splitlines()]
    folder = project.root / "figures"
    assert sorted(files) == sorted(folder.iterdir())
    assert {"confusion.yaml.svg", "bars.svg", "one_file.svg"} <= {file.name for file in files}
    assert any(file.name.endswith("curves.svg") for file in files)
    for file in files:
        content = file.read_bytes()
        assert content == _PIXEL if file.suffix == ".png" else content.startswith(b"<svg")
    assert any(file.suffix == ".png" for file in files)


def test_a_page_of_the_user_is_filled(project: Project, service: Service) -> None:
    project.write({"ours.html": "<html>{scripts}<h1>Ours</h1>{plot_divs}</html>"})
    words = ("plots", "show", "out.csv", "--html-template", str(project.root / "ours.html"), "-o", "own")
    (done,) = ask_wherry(service, project.root, [("", words)])
    assert done.expect(0).out.strip() == (project.root / "own" / "index.html").as_uri()
    assert "<h1>Ours</h1><section" in (project.root / "own" / "index.html").read_text()


def test_what_dvc_is_told_of_pages_holds(project: Project, service: Service) -> None:
    """By `dvc config`, and from any folder: the same page at the same place as DVC's."""
    project.write({".dvc/theirs.html": "<html>{scripts}<h1>Configured</h1>{plot_divs}</html>"})
    for name, value in (("html_template", "theirs.html"), ("out_dir", "their_plots")):
        project.dvc("config", "--local", f"plots.{name}", value).expect(0)
    asked = [("sub", ("plots", "show", "own.csv"))]
    (theirs,), (ours,) = ask_dvc(project.root, asked), ask_wherry(service, project.root, asked)
    page = project.root / "sub" / "their_plots" / "index.html"
    assert ours.expect(0).out.strip() == page.as_uri()
    assert page.as_uri() in theirs.expect(0).out
    assert "<h1>Configured</h1><section" in page.read_text()
    project.dvc("config", "--local", "plots.html_template", "gone.html").expect(0)
    (lost,) = ask_wherry(service, project.root, asked)
    assert "gone.html" in lost.expect(255).err
    assert "html_template under [plots]" in lost.err
    for name in ("html_template", "out_dir"):
        project.dvc("config", "--local", "--unset", f"plots.{name}").expect(0)


def test_pages_at_the_usual_place_are_not_submitted(project: Project, service: Service) -> None:
    (done,) = ask_wherry(service, project.root, [("", ("plots", "show", "out.csv"))])
    assert done.expect(0).out.strip() == (project.root / "dvc_plots" / "index.html").as_uri()
    assert "?? dvc_plots/" not in git(project.root, "status", "--porcelain").splitlines()
