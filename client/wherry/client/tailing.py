"""Reading what stages wrote, over bounded calls and lost connections, without a lost or doubled line."""

import contextlib
import time
from collections.abc import Iterator

from wherry.client.connection import Connection
from wherry.client.errors import ClientError, Unreachable
from wherry.v1.runs_pb2 import LogLine, TailLogsRequest

CALL_S = 50.0
"""How long one streaming call lasts: shorter than the minute after which proxies cut what is silent."""

BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 4.0, 5.0)
"""Pauses between tries of a connection that is lost; the last one repeats."""


def tail_logs(
    connection: Connection,
    run: str,
    *,
    stage: str = "",
    follow: bool = False,
    patience_s: float = 300.0,
    call_s: float = CALL_S,
) -> Iterator[LogLine]:
    """Tell the lines of a run, or of one stage, from the beginning; with `follow` until there can be no more.

    A connection that is lost is tried again for `patience_s` seconds, and read on where it broke.

    Raises:
        ClientError: as the service says, or Unreachable when patience is over.
    """
    sequence, tries, lost_at = 0, 0, 0.0
    while True:
        request = TailLogsRequest(run=run, stage=stage, follow=follow, after_sequence=sequence, wait_s=call_s)
        began = time.monotonic()
        try:
            with contextlib.closing(connection.stream(connection.runs.TailLogs, request)) as messages:
                for message in messages:
                    tries = 0
                    for line in message.lines:
                        if line.sequence > sequence:
                            sequence = line.sequence
                            yield line
                    if message.done:
                        return
            fault: ClientError | None = None if lasted(began, call_s) else cut_short()
        except ClientError as exc:
            fault = exc
        if fault is None:
            continue
        now = time.monotonic()
        lost_at = lost_at if tries else now
        if not isinstance(fault, Unreachable) or now - lost_at > patience_s:
            raise fault
        time.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
        tries += 1
        connection.refresh()


def lasted(began: float, call_s: float) -> bool:
    """Whether a call that ended without an end did so because its time was over."""
    return time.monotonic() - began >= call_s / 2


def cut_short() -> Unreachable:
    """What a stream that ended too early stands for: going on at once would be an endless loop."""
    return Unreachable("the service ended the stream before the run ended")
