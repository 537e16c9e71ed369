"""The page of plots: whatever stands in the data stays data."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from wherry.client.errors import BadConfiguration, ClientError
from wherry.client.plots.drawing import draw
from wherry.client.plots.filling import Plot
from wherry.client.plots.gathering import Image, Rendered
from wherry.client.plots.page import write_page
from wherry.client.plots.points import find_points
from wherry.client.plots.templates import TEMPLATES
from wherry.v1.blobs_pb2 import BlobDigest


def _rendered(name: str, field: str) -> Rendered:
    points = find_points(name, {name: [{field: 1}, {field: 2}]}, {}, "workspace")
    plot = Plot(
        rows=points.rows,
        properties=points.properties,
        revisions=["workspace"],
        template=TEMPLATES["linear"](),
    )
    return Rendered(name=name, plot=plot)


def test_data_cannot_end_the_script_that_holds_it() -> None:
    plain = write_page("t", [_rendered("a.json", "v")], lambda _image: "")
    page = write_page("t", [_rendered("a.json", "</script><script>alert(1)</script><!--")], lambda _image: "")
    assert "alert(1)" in page
    for mark in ("<script", "</script", "<!--"):
        assert page.count(mark) == plain.count(mark)


def test_names_and_revisions_are_no_markup() -> None:
    image = Image(revision='<b>"x"', file="p.png", digest=BlobDigest(hash="0" * 32))
    page = write_page("<i>", [Rendered(name="<u>p.png", images=[image])], lambda _image: 'x" onerror="y')
    assert not {"<i>", "<u>", "<b>"} & {page[at : at + 3] for at in range(len(page))}
    assert 'onerror="y' not in page


def test_a_page_of_images_needs_no_libraries() -> None:
    image = Image(revision="main", file="p.png", digest=BlobDigest(hash="0" * 32))
    page = write_page("t", [Rendered(name="p.png", images=[image])], lambda _image: "data:image;base64,AA==")
    assert "<script" not in page
    assert 'src="data:image;base64,AA=="' in page


def test_a_page_of_the_user_gets_the_plots_where_it_says() -> None:
    template = "<body class='ours'>{scripts}<main>{plot_divs}</main>{refresh_tag}{other}</body>"
    page = write_page("t", [_rendered("a.json", "{plot_divs}")], lambda _image: "", template=template)
    assert page.startswith("<body class='ours'><script>")
    assert page.endswith("</section></main>{other}</body>")
    # What stands in the data is not taken for a place.
    assert page.count("<section") == 1
    with pytest.raises(ClientError, match=r"^HTML template has to contain '\{plot_divs\}'\.$"):
        write_page("t", [_rendered("a.json", "v")], lambda _image: "", template="<body>")


def test_plots_are_drawn_as_files_of_their_own() -> None:
    shown = [_rendered("dir/a.json", "v"), _rendered("dir_a.json", "<b>"), Rendered(name="empty")]
    svgs = dict(draw(shown, "svg"))
    assert list(svgs) == ["dir_a.json.svg", "dir_a.json-2.svg"]
    for content in svgs.values():
        assert ET.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
    ((name, content),) = draw(shown[:1], "png")
    assert name == "dir_a.json.png"
    assert content.startswith(b"\x89PNG\r\n\x1a\n")


_DRAWS = """
import sys
from dataclasses import replace
from tests.unit.client.test_plot_page import _rendered
from wherry.client.plots.drawing import draw
one = _rendered("a.json", "v")
encoding = {"x": {"field": "v", "type": "quantitative"}}
elsewhere = {"data": {"url": sys.argv[1]}, "mark": "point", "encoding": encoding}
own = {"data": one.plot.template["data"], "mark": "point", "encoding": encoding}
list(draw([replace(one, plot=replace(one.plot, template={"hconcat": [own, elsewhere]}))], "svg"))
"""


def test_nothing_is_fetched_for_a_drawing() -> None:
    """Drawn in a process of its own: the renderer holds Python's lock while it waits for an answer."""
    asked = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # named by the library
            asked.set()
            self.send_response(404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/data.json"
        subprocess.run(
            [sys.executable, "-c", _DRAWS, url],
            cwd=Path(__file__).parents[3],
            check=False,
            capture_output=True,
            timeout=120,
        )
        server.shutdown()
    assert not asked.is_set()


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(BadConfiguration) as missing:
        list(draw([_rendered("a.json", "v")], "png"))
    assert "pip install 'wherry[plots]'" in missing.value.hint
