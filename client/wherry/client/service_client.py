"""What the SDK asks of a service about no project in particular: itself, runs, the run cache, the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from wherry.client.connection import LONG_S, Connection
from wherry.client.tailing import tail_logs
from wherry.client.watching import Event, Watcher
from wherry.v1.blobs_pb2 import CheckBlobsRequest, CheckBlobsResponse
from wherry.v1.pipelines_pb2 import ExpandSweepRequest
from wherry.v1.runs_pb2 import LogLine
from wherry.v1.system_pb2 import (
    CheckServiceRequest,
    CheckServiceResponse,
    GetDvcRemoteRequest,
    GetDvcRemoteResponse,
    GetInfoRequest,
    GetInfoResponse,
    Leftover,
    RemoveLeftoversRequest,
)
from wherry.v1.tokens_pb2 import (
    CreateTokenRequest,
    CreateTokenResponse,
    DeleteTokenRequest,
    ListTokensRequest,
    TokenRecord,
)

if TYPE_CHECKING:
    from wherry.client.results_cache import RunCache


class ServiceClient:
    """Talks to one service. Every method raises ClientError for what can go wrong."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection."""
        self._connection = connection

    @property
    def target(self) -> str:
        """host:port of the service."""
        return self._connection.target

    def info(self, *, timeout: float = 30.0) -> GetInfoResponse:
        """Ask the service about itself; `timeout` in seconds."""
        return self._connection.unary(self._connection.system.GetInfo, GetInfoRequest(), timeout)

    def dvc_remote(self) -> GetDvcRemoteResponse:
        """Return the bucket as a DVC remote, with its credentials."""
        return self._connection.unary(self._connection.system.GetDvcRemote, GetDvcRemoteRequest())

    def expand_sweep(self, set_params: Sequence[str]) -> list[tuple[str, ...]]:
        """Make of parameter changes with sweeps over values those of single runs, in DVC's order."""
        request = ExpandSweepRequest(set_params=set_params)
        answer = self._connection.unary(self._connection.pipelines.ExpandSweep, request, LONG_S)
        return [tuple(changes.set_params) for changes in answer.combinations]

    def watch(
        self, run: str, *, logs: bool = True, timeout: float | None = None, patience_s: float = 300.0
    ) -> Iterator[Event]:
        """Tell what happens to a run until it has ended, over lost connections too.

        `timeout` bounds the watching, `patience_s` how long a lost connection is tried again; both seconds.
        """
        return Watcher(self._connection, run, logs=logs, patience_s=patience_s).events(timeout=timeout)

    def logs(
        self, run: str, *, stage: str = "", follow: bool = False, patience_s: float = 300.0
    ) -> Iterator[LogLine]:
        """Return what stages wrote, from the beginning; with `follow` until the run has ended.

        Of a stage whose result was known: what it wrote in the run that computed it. A lost connection is tried
        again for `patience_s` seconds; no line is lost or told twice.
        """
        return tail_logs(self._connection, run, stage=stage, follow=follow, patience_s=patience_s)

    def create_token(self, name: str, *, user: str = "", lifetime_s: int = 0) -> CreateTokenResponse:
        """Make a token, whose holder comes as `user`; it is in this answer and nowhere else. For the owner alone."""
        request = CreateTokenRequest(name=name, user=user, lifetime_s=lifetime_s)
        return self._connection.unary(self._connection.tokens.CreateToken, request)

    def list_tokens(self) -> Sequence[TokenRecord]:
        """List tokens by name, without what their holders show. For the owner alone."""
        return self._connection.unary(self._connection.tokens.ListTokens, ListTokensRequest()).tokens

    def delete_token(self, name: str) -> TokenRecord:
        """Remove a token: it counts no more; returns it as it was. For the owner alone."""
        request = DeleteTokenRequest(name=name)
        return self._connection.unary(self._connection.tokens.DeleteToken, request).removed

    def check_blobs(self, sample: int = 0) -> Iterator[CheckBlobsResponse]:
        """Have the service read `sample` blobs of the store, or all when 0, again; tells how it goes."""
        return self._connection.stream(self._connection.blobs.CheckBlobs, CheckBlobsRequest(sample=sample))

    @property
    def cache(self) -> RunCache:
        """The run cache."""
        from wherry.client.results_cache import RunCache  # noqa: PLC0415

        return RunCache(self._connection)

    def remove_leftovers(self) -> Sequence[Leftover]:
        """Remove from the engine what services that are no longer at work left there; returns what that was."""
        request = RemoveLeftoversRequest()
        return self._connection.unary(self._connection.system.RemoveLeftovers, request, LONG_S).removed

    def check_service(self) -> CheckServiceResponse:
        """Have the service try everything that it stands on."""
        return self._connection.unary(self._connection.system.CheckService, CheckServiceRequest(), LONG_S)
