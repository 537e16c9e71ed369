"""Cutting output into lines."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.lines import LineSplitter


def cut(data: bytes, positions: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(position, len(data)) for position in positions), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_lines_do_not_depend_on_how_the_stream_is_cut(data: bytes, positions: list[int]) -> None:
    whole, pieces = LineSplitter(1000), LineSplitter(1000)

    expected = [*whole.feed(data), *whole.finish()]
    got = [line for piece in cut(data, positions) for line in pieces.feed(piece)] + pieces.finish()

    assert got == expected


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))))
def test_lines_come_out_as_they_were_written(lines: list[bytes]) -> None:
    splitter = LineSplitter(1000)

    assert splitter.feed(b"".join(line + b"\n" for line in lines)) == lines
    assert splitter.finish() == []


def test_of_a_line_that_redraws_itself_the_last_state_is_kept() -> None:
    splitter = LineSplitter(1000)

    assert splitter.feed(b"10%\r50%\r100%\nwindows\r\n") == [b"100%", b"windows"]


@given(st.integers(1, 500))
def test_a_line_without_end_is_cut_and_nothing_is_lost(size: int) -> None:
    splitter = LineSplitter(10)

    lines = [*splitter.feed(b"x" * size), *splitter.finish()]

    assert b"".join(lines) == b"x" * size
    assert max(map(len, lines)) <= 10
