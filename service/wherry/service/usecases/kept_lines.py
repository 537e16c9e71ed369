"""Which lines of an attempt are kept already, where they come once more."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Self

from wherry.service.ports.logs import LogLine, LogStream


class KeptLines:
    """Lines of a command are known by their number in their stream, lines of Wherry's own by what they say.

    What a command wrote comes in the same lines, in the same order, each time. Between them a run may have lines of
    our own that belong to no attempt.
    """

    def __init__(self, counts: Counter[LogStream | bytes] | None = None) -> None:
        """None are kept, unless it is given how many."""
        self._counts = Counter(counts or {})

    def add(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        """These are kept too."""
        if stream is LogStream.SYSTEM:
            self._counts.update(lines)
        else:
            self._counts[stream] += len(lines)

    def add_page(self, page: Sequence[LogLine]) -> None:
        """These are kept too."""
        for stream, together in groupby(page, key=lambda kept: kept.line.stream):
            self.add(stream, [kept.line.text for kept in together])

    def leave_out(self, stream: LogStream, lines: Sequence[bytes]) -> Sequence[bytes]:
        """What of lines that come is not kept yet. Each that is kept is left out once."""
        if not self._counts:
            return lines
        if stream is LogStream.SYSTEM:
            return [line for line in lines if not self._take(line)]
        known = min(self._counts[stream], len(lines))
        self._counts[stream] -= known
        return lines[known:]

    def leave_out_of(self, page: Sequence[LogLine]) -> Sequence[LogLine]:
        """The same, of lines with their numbers."""
        return [kept for kept in page if self.leave_out(kept.line.stream, [kept.line.text])]

    def copy(self) -> "KeptLines":
        """The same, to be used up."""
        return KeptLines(self._counts)

    def clear(self) -> None:
        """None are kept."""
        self._counts.clear()

    def of_command(self) -> "KeptLines":
        """Without lines of Wherry's own."""
        return KeptLines(
            Counter({key: count for key, count in self._counts.items() if isinstance(key, LogStream)})
        )

    def __bool__(self) -> bool:
        """Whether any are kept."""
        return any(self._counts.values())

    def __sub__(self, other: Self) -> "KeptLines":
        """What comes again when `other` has come."""
        return KeptLines(self._counts - other._counts)

    def __or__(self, other: Self) -> "KeptLines":
        """What is kept when each had what the other has."""
        return KeptLines(self._counts | other._counts)

    def _take(self, key: bytes) -> bool:
        if self._counts[key] <= 0:
            return False
        self._counts[key] -= 1
        return True
