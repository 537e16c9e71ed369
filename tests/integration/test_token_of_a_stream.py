"""A stream of a caller whose token is removed ends, whether anything is said in it or not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from wherry.service.adapters.database import Database
from wherry.service.adapters.tokens_sql import RandomTokenSource, SqlTokenStore
from wherry.service.domain.tokens import Caller
from wherry.service.rpc.caller import TokenInterceptor
from wherry.service.rpc.context import Context
from wherry.service.rpc.errors import ErrorInterceptor
from wherry.service.usecases.keep_tokens import FindCaller, KeepTokens
from wherry.v1 import runs_pb2, runs_pb2_grpc

_TOLD = ("quiet", "busy")


class Watching(runs_pb2_grpc.RunServiceServicer):
    """Tells one thing, then nothing more, or no end of things."""

    def __init__(self) -> None:
        self.open = 0
        self.closed = asyncio.Semaphore(0)

    async def WatchRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[runs_pb2.WatchRunResponse]:
        self.open += 1
        try:
            yield runs_pb2.WatchRunResponse()
            while request.run == "busy":
                yield runs_pb2.WatchRunResponse()
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        finally:
            self.open -= 1
            self.closed.release()


async def until_it_ends(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("told", _TOLD)
def test_it_ends_with_a_clear_error_and_others_go_on(sqlite_database: Database, told: str) -> None:
    async def check() -> None:
        store, clock = SqlTokenStore(sqlite_database), FakeClock()
        watching = Watching()  # type: ignore[abstract] # nothing else is asked of it
        keep = KeepTokens(store=store, source=RandomTokenSource(), clock=clock)
        tokens = [(await keep.create(Caller(), name=name, user="", lifetime_s=60))[0] for name in "ab"]
        interceptors = (
            ErrorInterceptor(FakeEventLog()),
            TokenInterceptor("own", FindCaller(store=store, clock=clock), asked_again_s=0.01),
        )
        server = grpc.aio.server(interceptors=interceptors)
        runs_pb2_grpc.add_RunServiceServicer_to_server(watching, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with asyncio.timeout(60), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            watch = runs_pb2_grpc.RunServiceStub(channel).WatchRun
            calls = [
                watch(runs_pb2.WatchRunRequest(run=told), metadata=(("authorization", f"Bearer {token}"),))
                for token in tokens
            ]
            for call in calls:
                await call.read()
            await keep.remove(Caller(), "a")
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await until_it_ends(calls[0])

            assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "carries no valid token" in cast(str, ended.value.details())
            assert (watching.open, calls[1].done()) == (1, False)
            calls[1].cancel()
            await watching.closed.acquire()
            await watching.closed.acquire()
        await server.stop(None)

    asyncio.run(check())
