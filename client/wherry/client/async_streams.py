"""Streams of a service in asyncio: runs that are waited for and read cost no threads, however many there are.

gRPC's own asyncio half, over bounded calls and lost connections as in `tailing` and `watching`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from wherry.client.connection import Connection, channel_options, system_roots
from wherry.client.errors import ClientError, Unreachable
from wherry.client.tailing import BACKOFF_S, CALL_S, cut_short, lasted
from wherry.client.watching import (
    ENDED,
    ConnectionBack,
    ConnectionLost,
    Event,
    Output,
    RunChanged,
    StageChanged,
    events_in,
)
from wherry.v1 import runs_pb2_grpc
from wherry.v1.runs_pb2 import (
    LogLine,
    TailLogsRequest,
    TailLogsResponse,
    WatchRunRequest,
    WatchRunResponse,
)

MessageT = TypeVar("MessageT")
MessageT_co = TypeVar("MessageT_co", covariant=True)


_Items = asyncio.Queue[Event | ClientError | None]


class _Call(Protocol[MessageT_co]):
    """The answers of a streaming call."""

    def __aiter__(self) -> AsyncIterator[MessageT_co]: ...

    def cancel(self) -> bool: ...


class AsyncStreams:
    """Opens a channel of the running loop when it is needed; close it with `close`."""

    def __init__(self, connection: Connection) -> None:
        """Go where `connection` goes, as whom it goes."""
        self._connection = connection
        self._channels: dict[str, grpc.aio.Channel] = {}
        """By address: a service that was restarted may have another."""

    async def close(self) -> None:
        """End all calls and close the channels."""
        while self._channels:
            await self._channels.popitem()[1].close()

    async def changes(self, run: str, *, patience_s: float) -> AsyncGenerator[Event, None]:
        """Tell each new state of a run and its stages until the run has ended."""
        sequence = 0

        def call() -> _Call[WatchRunResponse]:
            request = WatchRunRequest(run=run, after_sequence=sequence, wait_s=CALL_S, in_batches=True)
            return self._stub().WatchRun(request, metadata=self._connection.metadata())

        async with aclosing(self._persist(call, patience_s)) as messages:
            async for response in messages:
                if isinstance(response, ConnectionLost | ConnectionBack):
                    yield response
                    continue
                for message in events_in([response]):
                    if message.sequence <= sequence:
                        continue
                    sequence = message.sequence
                    if message.WhichOneof("event") == "run":
                        yield RunChanged(message.run)
                        if message.run.state in ENDED:
                            return
                    else:
                        yield StageChanged(message.stage)

    async def lines(
        self, run: str, *, stage: str, follow: bool, patience_s: float
    ) -> AsyncGenerator[LogLine, None]:
        """Tell the lines of a run from the beginning; with `follow` until there can be no more."""
        sequence = 0

        def call() -> _Call[TailLogsResponse]:
            request = TailLogsRequest(
                run=run, stage=stage, follow=follow, after_sequence=sequence, wait_s=CALL_S
            )
            return self._stub().TailLogs(request, metadata=self._connection.metadata())

        async with aclosing(self._persist(call, patience_s)) as messages:
            async for message in messages:
                if isinstance(message, ConnectionLost | ConnectionBack):
                    continue
                for line in message.lines:
                    if line.sequence > sequence:
                        sequence = line.sequence
                        yield line
                if message.done:
                    return

    async def watch(self, run: str, *, patience_s: float) -> AsyncGenerator[Event, None]:
        """Tell changes and lines as they come."""
        items: _Items = asyncio.Queue(maxsize=1000)
        sources = (self.changes(run, patience_s=patience_s), self._outputs(run, patience_s))
        tasks = [asyncio.create_task(_pass_on(events, items)) for events in sources]
        left = len(tasks)
        try:
            while left:
                item = await items.get()
                if isinstance(item, ClientError):
                    raise item
                if item is None:
                    left -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _outputs(self, run: str, patience_s: float) -> AsyncGenerator[Event, None]:
        async with aclosing(self.lines(run, stage="", follow=True, patience_s=patience_s)) as lines:
            async for line in lines:
                yield Output(line)

    async def _persist(
        self, call: Callable[[], _Call[MessageT]], patience_s: float
    ) -> AsyncGenerator[MessageT | ConnectionLost | ConnectionBack, None]:
        """Repeat a call that goes on where the last one ended; whoever reads says when it is enough."""
        tries, lost_at = 0, 0.0
        while True:
            began = time.monotonic()
            opened = call()
            try:
                async for message in opened:
                    if tries:
                        tries = 0
                        yield ConnectionBack()
                    yield message
                fault: ClientError | None = None if lasted(began, CALL_S) else cut_short()
            except grpc.RpcError as exc:
                fault = self._connection.fault(exc)
            finally:
                opened.cancel()
            if fault is None:
                continue
            now = time.monotonic()
            lost_at = lost_at if tries else now
            if not isinstance(fault, Unreachable) or now - lost_at > patience_s:
                raise fault
            if not tries:
                yield ConnectionLost()
            await asyncio.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
            tries += 1
            self._connection.refresh()

    def _stub(self) -> "runs_pb2_grpc.RunServiceAsyncStub":
        endpoint = self._connection.endpoint
        if endpoint.target not in self._channels:
            options = channel_options(endpoint)
            if endpoint.secure:
                credentials = grpc.ssl_channel_credentials(system_roots())
                channel = grpc.aio.secure_channel(endpoint.target, credentials, options)
            else:
                channel = grpc.aio.insecure_channel(endpoint.target, options)
            self._channels[endpoint.target] = channel
        return runs_pb2_grpc.RunServiceStub(self._channels[endpoint.target])


async def _pass_on(events: AsyncGenerator[Event, None], items: _Items) -> None:
    """Put what comes into the queue: events, then None or what stands in the way."""
    async with aclosing(events):
        try:
            async for event in events:
                await items.put(event)
        except ClientError as error:
            await items.put(error)
        else:
            await items.put(None)
