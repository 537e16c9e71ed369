"""Secrets: values that stages need and nobody is to read. Their rules, and how they are kept out of output."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from wherry.service.domain.errors import InvalidInput

SECRET_BYTES_MIN = 4
"""What is shorter cannot be told from ordinary output, so it could not be hidden there."""

SECRET_BYTES_MAX = 64 * 1024
"""A key or a certificate; the kernel takes 128 KiB as one variable."""

SECRETS_PER_PROJECT_MAX = 100
"""All of one stage then fit into what the kernel takes as variables, if none is very large."""

MASK = b"***"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What would be taken for the shell's, the loader's or Wherry's own.
_RESERVED = re.compile(r"(?:LD_.*|DVC_ROOT|DVC_STAGE|HOME|PATH|PWD|SHELL|IFS|ENV|BASH_ENV)")

# Enough of a pattern to look for it fast; tails that are shorter are compared one by one.
_START_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRecord:
    """What may be told of a secret."""

    name: str
    user: str
    """Who set it last."""
    set_at: datetime


def check_secret_name(name: str) -> None:
    """Refuse what is no name for a secret: it becomes that of an environment variable.

    Raises:
        InvalidInput: if so.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name for a secret",
            hint="It becomes an environment variable: letters, digits and '_', not beginning with a digit.",
        )
    if _RESERVED.fullmatch(name):
        raise InvalidInput(f"a secret cannot be called {name!r}: the variable has another meaning")


def check_secret_value(value: bytes) -> None:
    """Refuse what cannot be given to a stage, or not be hidden in its output.

    Raises:
        InvalidInput: if so.
    """
    if len(value) < SECRET_BYTES_MIN:
        raise InvalidInput(
            f"a secret must have at least {SECRET_BYTES_MIN} bytes: a shorter one could not be hidden in output",
            hint="Is it the right one? What is that short and no secret belongs under env in .dvc/wherry.toml.",
        )
    if len(value) > SECRET_BYTES_MAX:
        raise InvalidInput(f"a secret can have at most {SECRET_BYTES_MAX} bytes")
    if b"\0" in value:
        raise InvalidInput("a secret cannot have a NUL byte in it: environment variables cannot")


class SecretMask:
    """Replaces secrets in a stream of bytes, wherever it is cut into pieces.

    Of a secret of several lines each line is replaced, if it is long enough to be one. What may be the beginning of a
    secret is held back until it is known. Not replaced: what a program makes of a secret, such as its Base64.
    """

    def __init__(self, values: Iterable[bytes]) -> None:
        """Replace these."""
        lines = {line.strip() for value in values for line in value.splitlines()}
        # The longest first: of one that begins like another all is replaced.
        self._patterns = sorted(
            (line for line in lines if len(line) >= SECRET_BYTES_MIN), key=len, reverse=True
        )
        self._any = re.compile(b"|".join(map(re.escape, self._patterns))) if self._patterns else None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What is known to hold no secret any more."""
        if self._any is None:
            return data
        data, self._held = self._held + data, b""
        clean: list[bytes] = []
        at = 0
        while True:
            open_from = self._open_from(data, at)
            found = self._any.search(data, at)
            if found is None or found.start() >= open_from:
                clean.append(data[at:open_from])
                self._held = data[open_from:]
                return b"".join(clean)
            clean += (data[at : found.start()], MASK)
            at = found.end()

    def finish(self) -> bytes:
        """What was held back: the end of the stream shows that it is no secret, or a whole one."""
        rest, self._held = self._held, b""
        return rest if self._any is None else self._any.sub(MASK, rest)

    def _open_from(self, data: bytes, at: int) -> int:
        """Where the longest tail begins that is the beginning, and not all, of a pattern."""
        first = len(data)
        for pattern in self._patterns:
            begin = max(at, len(data) - len(pattern) + 1)
            start = pattern[:_START_BYTES]
            while (begin := data.find(start, begin, first + len(start) - 1)) != -1:
                if pattern.startswith(data[begin:]):
                    first = min(first, begin)
                    break
                begin += 1
            for tail in range(max(at, len(data) - len(start) + 1), first):
                if start.startswith(data[tail:]):
                    first = tail
                    break
        return first
