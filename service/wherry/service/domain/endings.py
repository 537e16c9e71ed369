"""How a command that did not succeed has ended, in words, with the limit that it met."""

from collections.abc import Sequence

from wherry.service.domain.resources import size_text

# Shells, and the engine, report signal n as 128 + n.
_SIGNAL_BASE = 128

_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    14: "SIGALRM",
    15: "SIGTERM",
    24: "SIGXCPU",
    25: "SIGXFSZ",
    31: "SIGSYS",
}

# The largest number that Linux gives a signal.
_SIGNAL_MAX = 64


def why_failed(
    code: int, *, out_of_memory: bool, memory_bytes: int | None, timed_out_after_s: float | None
) -> str:
    """One sentence without its subject: why a command counts as failed. `memory_bytes` was its limit.

    A time limit comes first: what is killed for it often looks as if it had died otherwise.
    """
    if timed_out_after_s is not None:
        return f"was stopped after its timeout of {duration_text(timed_out_after_s)}"
    if out_of_memory:
        limit = "" if memory_bytes is None else f" (limit {size_text(memory_bytes)})"
        return f"ran out of memory{limit}"
    signal = code - _SIGNAL_BASE
    if 0 < signal <= _SIGNAL_MAX:
        name = f" ({_SIGNALS[signal]})" if signal in _SIGNALS else ""
        return f"was ended by signal {signal}{name}"
    return f"exited with {code}"


# Of a command that failed as much as fits a line beside the rest.
_COMMAND_CHARACTERS_MAX = 60


def which_failed(number: int | None, commands: Sequence[str]) -> str:
    """Say which of several commands it was, by number from 1; empty where there is one, or it is not known."""
    if number is None or not 1 <= number <= len(commands) or len(commands) == 1:
        return ""
    first = next((line.strip() for line in commands[number - 1].splitlines() if line.strip()), "")
    if len(first) > _COMMAND_CHARACTERS_MAX:
        first = f"{first[: _COMMAND_CHARACTERS_MAX - 1]}…"
    return f" in command {number} of {len(commands)}: {first}"


_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def duration_text(seconds: float) -> str:
    """Such as "30 s", "1.5 s", "2 min 5 s", "3 h" and "1 d 2 h": the two largest units that there are."""
    if seconds < _MINUTE_S:
        return f"{seconds:g} s"
    whole = round(seconds)
    units = ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min"), (1, "s"))
    parts: list[str] = []
    for length, unit in units:
        count, whole = divmod(whole, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part)
