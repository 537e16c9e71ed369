"""The page of a run: nothing from elsewhere becomes markup, and what matters is on it."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from wherry.client.cli.run_page import Output, RunReading, write_run_page
from wherry.v1.runs_pb2 import (
    CACHE_USE_HIT,
    CACHE_USE_MISS,
    STATE_FAILED,
    STATE_RUNNING,
    STATE_SUCCEEDED,
    Run,
    RunError,
    StageRecord,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=y>\x1b]0;title\x07'


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(run: Run, outputs: list[Output] | None = None, **values: object) -> _Page:
    reading = RunReading(run=run, metrics=values, params={HOSTILE: {HOSTILE: HOSTILE}}, outputs=outputs or [])
    return _Page(write_run_page(reading, NOW))


def _stage(name: str, end_s: int, **fields: Any) -> StageRecord:
    return StageRecord(name=name, since=Timestamp(seconds=end_s), **fields)


def test_nothing_from_elsewhere_becomes_markup() -> None:
    run = Run(
        id="7",
        name=HOSTILE,
        user=HOSTILE,
        project=HOSTILE,
        message=HOSTILE,
        rev=HOSTILE,
        labels={HOSTILE: HOSTILE},
        state=STATE_FAILED,
        stages=[_stage(HOSTILE, 10, state=STATE_FAILED, reason=HOSTILE, wall_s=1.0)],
        error=RunError(message=HOSTILE, hint=HOSTILE),
    )

    page = _page(run, [Output(stage=HOSTILE, lines=[HOSTILE])], **{HOSTILE: {HOSTILE: HOSTILE}})

    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "iframe", "object", "link", "a"}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("alert(1)") >= 10  # shown, as text
    assert "\x1b" not in page.text
    policy = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_stages_lie_on_one_time_line_and_cached_ones_take_no_time() -> None:
    run = Run(
        id="7",
        state=STATE_SUCCEEDED,
        stages=[
            _stage("first", 110, state=STATE_SUCCEEDED, cache=CACHE_USE_MISS, wall_s=10.0),
            _stage("known", 110, state=STATE_SUCCEEDED, cache=CACHE_USE_HIT, wall_s=3600.0),
            _stage("last", 140, state=STATE_SUCCEEDED, cache=CACHE_USE_MISS, wall_s=30.0),
        ],
    )

    bars = [attributes["style"] for tag, attributes in _page(run).tags if tag == "i"]

    assert bars == ["left:0.00%;width:25.00%", "left:25.00%;width:0.00%", "left:25.00%;width:75.00%"]


def test_the_output_of_what_failed_is_open_and_says_what_it_leaves_out() -> None:
    run = Run(
        id="7",
        state=STATE_FAILED,
        stages=[_stage("good", 1, state=STATE_SUCCEEDED), _stage("bad", 1, state=STATE_FAILED)],
    )

    page = _page(
        run,
        [
            Output(stage="good", lines=["fine"]),
            Output(stage="bad", lines=["the end"], left_out=12),
            Output(stage="silent", lines=[]),
        ],
    )

    assert ["open" in attributes for tag, attributes in page.tags if tag == "details"] == [False, True]
    assert "… 12 lines before\nthe end" in page.text


def test_a_run_that_goes_on_says_when_it_was_looked_at() -> None:
    assert "2026-01-02 03:04:05 UTC; the run goes on" in _page(Run(id="7", state=STATE_RUNNING)).text
    assert "goes on" not in _page(Run(id="7", state=STATE_SUCCEEDED)).text
