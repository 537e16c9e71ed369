"""What drawn projects are made of: names and values, plain ones and those that are easily taken for something else."""

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

_T = TypeVar("_T")

PLAIN = ("a", "b", "data", "x1", "model", "Z", "part-2")
ODD = (
    *("ünï", "sp ace", "it's", "1", "null", "1e3", "yes", "0x1F", "~", "a.b", "012", "1_000", "2020-01-01"),
    *(
        "=",
        "#h",
        "-dash",
        "k=v",
        "100%",
        "[x]",
        "{x}",
        "q&a",
        "!bang",
        "*",
        "a, b",
        "é",
        "日本",
        ".dot",
        "ends.",
        '"q"',
    ),
    *(
        "true",
        "12:30",
        "1.5",
        "back`tick",
        "semi;colon",
        "at@sign",
        "per|pipe",
        "trail-",
        "?",
        "$d",
        "a  b",
        "on",
        "<<",
    ),
)
STAGE_ODD = (
    "ünï",
    "sp ace",
    "null",
    "1e3",
    "yes",
    "1",
    "a.b",
    "a/b",
    "012",
    "-s",
    "#x",
    "it's",
    "~",
    "k" * 130,
    "0x1F",
)
TEXTS = (
    *(
        "x",
        "two words",
        "yes",
        "no",
        "null",
        "1",
        "1e3",
        "010",
        "12:30",
        "2020-01-01",
        "=",
        "a: b",
        "#x",
        "a #b",
        "",
        "~",
    ),
    *(
        "- a",
        ".5",
        "0x1F",
        "@at",
        "%pc",
        "{",
        "[",
        "&",
        "*",
        "!",
        "|",
        ">",
        "---",
        "ünï cödé",
        "1_0",
        "+1",
        "0o7",
        "<<",
    ),
    *(
        "ends:",
        " lead",
        "trail ",
        "a\tb",
        "line\nbreak",
        "it's",
        'say "hi"',
        "back\\slash",
        "\u0085nel",
        "word " * 30,
    ),
)
SHELL_SAFE = (
    "x",
    "two words",
    "yes",
    "null",
    "1e3",
    "010",
    "12:30",
    "a: b",
    "#x",
    "ünï",
    "",
    "0x1F",
    "a-b",
    "%s",
    "word " * 25,
)
NUMBERS = (0, 1, -3, 7, 20, 1000, 10**20, 0.5, 1e-05, 1e16, 2.0, -0.0, 1.5, 123456789.123456789, 1e22, 5e-324)


class Chance:
    """Draws, in few words, and independently: each project is unlike the one before."""

    def __init__(self, random: Random) -> None:
        """Draw from `random`."""
        self._random = random

    def number(self, low: int, high: int) -> int:
        """Any of low..high."""
        return self._random.randint(low, high)

    def rarely(self, of: int = 8) -> bool:
        """One time out of `of`."""
        return self._random.randrange(of) == 0

    def one(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        return self._random.choice(choices)

    def some(self, choices: Sequence[_T], high: int, low: int = 0) -> list[_T]:
        """Some of them, in any order, each once."""
        high = min(high, len(choices))
        return self._random.sample(list(choices), self.number(min(low, high), high))

    def name(self, odd: Sequence[str] = ODD) -> str:
        """A name; one in three is odd."""
        return self.one(odd if self.rarely(3) else PLAIN)

    def scalar(self) -> Any:
        """A value as YAML has them."""
        return self.one((self.one(NUMBERS), self.one((True, False)), None, self.one(TEXTS), self.one(TEXTS)))

    def value(self, depth: int = 3) -> Any:
        """A value that may hold others."""
        kind = self.one(("scalar", "scalar", "list", "mapping")) if depth else "scalar"
        if kind == "list":
            return [self.value(depth - 1) for _ in range(self.number(0, 3))]
        if kind == "mapping":
            return {self.name(): self.value(depth - 1) for _ in range(self.number(0, 3))}
        return self.scalar()
