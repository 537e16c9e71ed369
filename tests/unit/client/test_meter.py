"""What is shown while bytes move."""

from wherry.client.cli.meter import Meter

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_amount_rate_and_time_left_are_shown_now_and_then() -> None:
    clock = Clock()
    meter = Meter(100 * MIB, clock)

    assert meter.advance(MIB) is None, "not each time"
    clock.now += 0.5
    assert meter.advance(MIB) == "2.0 MiB of 100.0 MiB", "too early for a rate"
    clock.now += 1.5
    assert meter.advance(18 * MIB) == "20.0 MiB of 100.0 MiB  10.0 MiB/s  8 s left"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    meter.advance(1000 * MIB)
    shown = ""
    for _ in range(20):
        clock.now += 1
        shown = meter.advance(MIB) or ""

    assert shown == "1020.0 MiB  1.0 MiB/s"


def test_what_has_to_be_sent_again_is_taken_back() -> None:
    clock = Clock()
    meter = Meter(10 * MIB, clock)
    clock.now += 2
    meter.advance(5 * MIB)
    clock.now += 2

    assert meter.advance(-5 * MIB) == "0 B of 10.0 MiB  0 B/s"
