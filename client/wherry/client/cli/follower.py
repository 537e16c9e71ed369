"""Which way a run is watched: drawn on a terminal, folded in CI, or line by line."""

from collections.abc import Iterable
from typing import Protocol

from wherry.client.cli.ci_log import CiFollower, ci_kind
from wherry.client.cli.following import RunFollower
from wherry.client.cli.terminal import Terminal
from wherry.client.stage_names import StageNames
from wherry.client.watching import Event
from wherry.v1.runs_pb2 import Run


class Follower(Protocol):
    """Shows the events of one run."""

    def follow(self, events: Iterable[Event]) -> None:
        """Show them until the run has ended."""
        ...


def follower_for(terminal: Terminal, run: Run, names: StageNames) -> Follower:
    """Choose."""
    # Each is loaded where it is used.
    if terminal.is_live:
        from wherry.client.cli.live import LiveFollower  # noqa: PLC0415

        return LiveFollower(terminal, run, names)
    kind = ci_kind()
    if kind and terminal.progress == "auto":
        return CiFollower(terminal, run, names, kind)
    return RunFollower(terminal, run, names)
