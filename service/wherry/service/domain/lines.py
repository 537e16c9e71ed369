"""Cut a stream of bytes into lines."""


class LineSplitter:
    """Yields whole lines out of pieces that are cut anywhere.

    A carriage return ends nothing: a progress bar that redraws itself is one line, of which only the
    last state is kept. A line longer than the limit is cut.
    """

    def __init__(self, line_bytes_max: int) -> None:
        """Cut lines after so many bytes."""
        self._line_bytes_max = line_bytes_max
        self._open = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take a piece; return the lines that it completed, without their ends."""
        parts = (self._open + data).split(b"\n")
        self._open = parts.pop()
        lines = [piece for part in parts for piece in self._cut(_last_state(part))]
        if len(self._open) > self._line_bytes_max:
            self._open = _last_state(self._open)
            *whole, self._open = self._cut(self._open)
            lines += whole
        return lines

    def finish(self) -> list[bytes]:
        """Return what was left without an end."""
        rest, self._open = self._open, b""
        return list(self._cut(_last_state(rest))) if rest else []

    def _cut(self, line: bytes) -> list[bytes]:
        size = self._line_bytes_max
        return [line[start : start + size] for start in range(0, len(line), size)] or [b""]


def _last_state(line: bytes) -> bytes:
    """What a terminal would show of a line that redraws itself."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]
