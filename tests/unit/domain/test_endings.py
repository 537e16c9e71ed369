"""Every way to fail has its own words, and names the limit."""

import pytest

from wherry.service.domain.endings import duration_text, which_failed, why_failed

MIB = 1024**2


@pytest.mark.parametrize(
    ("code", "out_of_memory", "memory_bytes", "timed_out_after_s", "said"),
    [
        (3, False, None, None, "exited with 3"),
        (137, False, 512 * MIB, None, "was ended by signal 9 (SIGKILL)"),
        (139, False, None, None, "was ended by signal 11 (SIGSEGV)"),
        (192, False, None, None, "was ended by signal 64"),
        (255, False, None, None, "exited with 255"),
        (128, False, None, None, "exited with 128"),
        (137, True, 512 * MIB, None, "ran out of memory (limit 512 MiB)"),
        (137, True, None, None, "ran out of memory"),
        (137, True, 512 * MIB, 30.0, "was stopped after its timeout of 30 s"),
        (0, False, None, 90.0, "was stopped after its timeout of 1 min 30 s"),
    ],
)
def test_how_a_command_ended(
    code: int, out_of_memory: bool, memory_bytes: int | None, timed_out_after_s: float | None, said: str
) -> None:
    assert said == why_failed(
        code, out_of_memory=out_of_memory, memory_bytes=memory_bytes, timed_out_after_s=timed_out_after_s
    )


def test_of_several_commands_the_failed_one_is_named() -> None:
    commands = ("true", "\n  python train.py\n  --all\n", "x" * 100)
    assert which_failed(2, commands) == " in command 2 of 3: python train.py"
    assert which_failed(3, commands) == f" in command 3 of 3: {'x' * 59}…"
    assert [which_failed(number, commands) for number in (None, 0, 4)] == ["", "", ""]
    assert which_failed(1, ("only one",)) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (30, "30 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (9000, "2 h 30 min"),
        (3601, "1 h"),
        (93600, "1 d 2 h"),
    ],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
