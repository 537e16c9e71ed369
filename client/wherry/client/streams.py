"""Streams of a service, heard in a thread of their own: Ctrl-C ends waiting for them at whatever instant it comes."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from wherry.client.handover import Handover

MessageT = TypeVar("MessageT")
MessageT_co = TypeVar("MessageT_co", covariant=True)

# So many messages may wait for whoever reads; a message has at most some hundred lines.
_MESSAGES_MAX = 256


class Stream(Protocol[MessageT_co]):
    """The answers of a streaming call."""

    def __iter__(self) -> Iterator[MessageT_co]:
        """Wait for one after another."""
        ...

    def cancel(self) -> bool:
        """Break the call off."""
        ...


@dataclass(frozen=True, slots=True)
class _Ended:
    error: Exception | None = None


def hear(open_stream: Callable[[], Stream[MessageT]]) -> Iterator[MessageT]:
    """Tell what a stream says; it is broken off when the reader leaves. Raises what the call raises.

    Who reads a stream of gRPC waits in Python's own code, where Ctrl-C at a bad instant comes out as the error of a lock.
    """
    heard: Handover[MessageT | _Ended] = Handover(_MESSAGES_MAX)
    calls: list[Stream[MessageT]] = []

    def pass_on() -> None:
        try:
            call = open_stream()
            calls.append(call)
            # The reader may have left between the two.
            if heard.is_closed():
                call.cancel()
            for message in call:
                heard.put(message)
        except Exception as exc:  # noqa: BLE001 - it is raised again where the stream is read
            heard.put(_Ended(exc))
        else:
            heard.put(_Ended())

    threading.Thread(target=pass_on, daemon=True).start()
    try:
        while not isinstance(item := heard.get(), _Ended):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        heard.close()
        for call in calls:
            call.cancel()
