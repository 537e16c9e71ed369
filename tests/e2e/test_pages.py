"""The pages of `wherry open` and `wherry plots`, as a browser shows them: whole, quiet, and without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, Shown, browser
from tests.e2e.harness import Project, Service, new_project

_FILES = {
    "dvc.yaml": """
stages:
  train:
    cmd:
    - 'echo "<b>$LR</b> & more"'
    - printf 'epoch,loss\\n0,9\\n1,4\\n2,3\\n' > history.csv
    - 'echo "{\\"accuracy\\": 0.75}" > metrics.json'
    - cp dot.png curve.png
    deps: [dot.png]
    params: [lr]
    metrics: [metrics.json: {cache: false}]
    plots:
    - history.csv: {x: epoch, y: loss}
    - curve.png
  broken:
    cmd: echo it broke >&2; exit 3
    deps: [metrics.json]
    outs: [never]
  after:
    cmd: cp never late
    deps: [never]
    outs: [late]
""",
    "params.yaml": "lr: 0.25\n",
}
# One pixel.
_DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100"
    "c9fe92ef0000000049454e44ae426082"
)

_DRAWN = "Array.from(document.querySelectorAll('main canvas, main img'), e => [e.tagName, e.naturalWidth || e.width > 99])"
# There when pixels are neither white, black, grey nor see-through: of all that is drawn only the curve has a colour.
_CURVE_DRAWN = """new Promise(drawn => (function look() {
  const canvas = document.querySelector("main canvas");
  const data = canvas?.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data ?? [];
  let found = 0;
  for (let i = 0; i < data.length; i += 4)
    found += Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60;
  found > 50 ? drawn(true) : setTimeout(look, 20);
})())"""
_LIGHTNESS = """(selector => {
  const colour = getComputedStyle(document.querySelector(selector)).color.match(/[\\d.]+/g).map(Number);
  return (colour[0] + colour[1] + colour[2]) / 3;
})(%r)"""
_OVERFLOWS = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    made = new_project(tmp_path_factory.mktemp("pages") / "project", service, _FILES)
    (made.root / "dot.png").write_bytes(_DOT)
    made.commit("dot")
    return made


@pytest.fixture(scope="module")
def shows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


def _quiet(shown: Shown) -> None:
    assert not shown.troubles()
    assert not shown.requests()
    assert shown.evaluate(_OVERFLOWS) is False


def test_a_run_is_a_page(project: Project, shows: Browser, tmp_path: Path) -> None:
    run = project.wherry("repro", "--json").expect(1).json()["id"]
    file = tmp_path / "run.html"
    project.wherry("open", run, "-o", file).expect(0)

    light = shows.open(file)
    _quiet(light)
    assert light.text("h1") == [light.evaluate("document.title")]
    rows = [row.split("\t")[:3] for row in light.text("tbody tr")[:3]]
    assert [row[:2] for row in rows] == [["train", "succeeded"], ["broken", "failed"], ["after", "skipped"]]
    assert "exited with 3" in rows[1][2]
    assert "metrics.json\taccuracy\t0.75" in light.text("tr")
    assert "params.yaml\tlr\t0.25" in light.text("tr")
    # What failed is open, what did not is a click away.
    assert [("it broke" in text, "<b>" in text) for text in light.text("details")] == [
        (False, False),
        (True, False),
    ]
    light.evaluate("document.querySelector('details summary').click()")
    assert "<b></b> & more" in light.text("details")[0]
    assert light.screenshot().startswith(b"\x89PNG")
    on_white = light.evaluate(_LIGHTNESS % "body"), light.evaluate(_LIGHTNESS % ".succeeded")

    dark = shows.open(file, scheme="dark", width=420)
    _quiet(dark)
    assert dark.evaluate(_LIGHTNESS % "body") > on_white[0] + 150
    assert dark.evaluate(_LIGHTNESS % ".succeeded") > on_white[1]


def test_plots_are_drawn(project: Project, shows: Browser, tmp_path: Path) -> None:
    project.wherry("repro", "train", "--pull", "all").expect(0)
    project.wherry("plots", "show", "-o", str(tmp_path)).expect(0)
    for scheme in ("light", "dark"):
        shown = shows.open(tmp_path / "index.html", scheme=scheme)
        assert shown.evaluate(_CURVE_DRAWN)
        assert sorted(shown.evaluate(_DRAWN)) == [["CANVAS", True], ["IMG", 1]]
        _quiet(shown)
