"""The page of plots: whatever stands in the data stays data."""

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
