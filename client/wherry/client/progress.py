"""What the SDK tells while it works. The command line prints it; programs may stay silent."""

from collections.abc import Sequence
from typing import Protocol


class Progress(Protocol):
    """Hears of slow things. Methods may be called from several threads."""

    def warn(self, text: str) -> None:
        """Take one sentence about something that the user should know."""
        ...

    def detail(self, text: str) -> None:
        """Take one sentence for whoever wants to know more."""
        ...

    def begin(
        self, verb: str, files: int, size_bytes: int | None, largest: Sequence[tuple[str, int]] = ()
    ) -> None:
        """A transfer begins: "Uploading", "Downloading" or "Hashing"; the size is None when it is not known yet.

        `largest` are a few of the files, by path with their sizes.
        """
        ...

    def advance(self, size_bytes: int) -> None:
        """So many more bytes have been moved; fewer than none when some have to be moved again."""
        ...

    def end(self) -> None:
        """The transfer has ended, well or badly."""
        ...


class Silent(Progress):
    """Says nothing."""

    def warn(self, text: str) -> None:
        """Ignore it."""

    def detail(self, text: str) -> None:
        """Ignore it."""

    def begin(
        self, verb: str, files: int, size_bytes: int | None, largest: Sequence[tuple[str, int]] = ()
    ) -> None:
        """Ignore it."""

    def advance(self, size_bytes: int) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""


class WarningsOnly(Silent):
    """Passes on what is about the user's files, and nothing of small transfers."""

    def __init__(self, progress: Progress) -> None:
        """Tell `progress`."""
        self._progress = progress

    def warn(self, text: str) -> None:
        """Pass it on."""
        self._progress.warn(text)

    def detail(self, text: str) -> None:
        """Pass it on."""
        self._progress.detail(text)
