"""A row is decoded once for as long as nothing in it changes."""

from datetime import UTC, datetime
from typing import Any

from wherry.service.adapters.decoded_results import DecodedResults
from wherry.service.domain.records import StageEntry
from wherry.service.domain.task import RunId, StrictKey
from wherry.service.ports.run_cache import Result

Row = tuple[Any, ...]


class Decoder:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.decoded: list[Row] = []

    def __call__(self, row: Row) -> Result:
        self.decoded.append(row)
        key, cmd = row
        return Result(
            key=StrictKey(key),
            entry=StageEntry(cmd=cmd, deps=(), params={}, outs=()),
            run_id=RunId("1"),
            user="ada",
            image="",
            wall_s=1.0,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )


def test_a_row_that_was_seen_is_not_decoded_again() -> None:
    decoder = Decoder()
    decoded = DecodedResults(decoder)
    first = decoded(("k", "make"))
    assert decoded(("k", "make")) is first
    assert decoder.decoded == [("k", "make")]


def test_a_row_of_the_same_key_that_says_something_else_is() -> None:
    decoded = DecodedResults(Decoder())
    assert decoded(("k", "make")).entry.cmd == "make"
    assert decoded(("k", "made")).entry.cmd == "made"


def test_what_was_not_asked_for_lately_is_forgotten() -> None:
    decoder = Decoder()
    decoded = DecodedResults(decoder, bytes_max=12)
    for row in (("a", "make"), ("b", "make"), ("a", "make"), ("c", "make")):
        decoded(row)
    assert len(decoded) == 2
    decoded(("a", "make"))
    assert decoder.decoded == [("a", "make"), ("b", "make"), ("c", "make")]
