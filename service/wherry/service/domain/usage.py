"""What an attempt has used of its machine."""

from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the processes of a container have used so far. None: it was not counted."""

    peak_memory_bytes: int | None = None
    """The most at any one time, without what the kernel keeps of files and can let go of."""
    cpu_s: float | None = None
    """Seconds of processors, of all processes."""
    read_bytes: int | None = None
    """From disks; what the kernel had in memory does not count."""
    written_bytes: int | None = None
    """To disks."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return self == NOTHING_COUNTED

    def later(self, other: "Usage") -> "Usage":
        """Both, seen one after the other: none of the figures can fall."""
        return Usage(
            peak_memory_bytes=_larger(self.peak_memory_bytes, other.peak_memory_bytes),
            cpu_s=_larger(self.cpu_s, other.cpu_s),
            read_bytes=_larger(self.read_bytes, other.read_bytes),
            written_bytes=_larger(self.written_bytes, other.written_bytes),
        )


NOTHING_COUNTED = Usage()


_Number = TypeVar("_Number", int, float)


def _larger(one: _Number | None, other: _Number | None) -> _Number | None:
    return max((value for value in (one, other) if value is not None), default=None)
