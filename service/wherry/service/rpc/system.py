"""SystemService: about the service itself."""

from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from wherry.service.domain.errors import EngineUnavailable
from wherry.service.domain.findings import FindingState
from wherry.service.domain.limits import MESSAGE_BYTES_MAX
from wherry.service.domain.settings import STAGE_SETTINGS
from wherry.service.ports.clock import Clock
from wherry.service.ports.containers import ContainerEngine
from wherry.service.rpc.caller import caller_now, user_of
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import moment
from wherry.service.usecases.check_service import CheckService
from wherry.service.usecases.find_leftovers import FindLeftovers
from wherry.v1 import system_pb2, system_pb2_grpc

_STATES = {
    FindingState.OK: system_pb2.CheckFinding.STATE_OK,
    FindingState.WARNING: system_pb2.CheckFinding.STATE_WARNING,
    FindingState.FAILED: system_pb2.CheckFinding.STATE_FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFacts:
    """What the service tells of itself."""

    version: str
    node: str
    default_image: str
    store_url: str
    s3_endpoint: str
    s3_region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


class SystemServicer(system_pb2_grpc.SystemServiceServicer):
    """Tells facts."""

    def __init__(
        self,
        *,
        facts: SystemFacts,
        engine: ContainerEngine,
        check: CheckService,
        leftovers: FindLeftovers,
        clock: Clock,
    ) -> None:
        """Tell `facts`, and ask `engine` for its version."""
        self._facts = facts
        self._check = check
        self._leftovers = leftovers
        self._clock = clock
        self._engine = engine

    async def GetInfo(  # noqa: N802 - named by the protocol
        self, request: system_pb2.GetInfoRequest, context: Context
    ) -> system_pb2.GetInfoResponse:
        """Describe the service."""
        try:
            engine_version = await self._engine.version()
        except EngineUnavailable:
            engine_version = ""
        return system_pb2.GetInfoResponse(
            version=self._facts.version,
            s3_endpoint=self._facts.s3_endpoint,
            store_url=self._facts.store_url,
            engine_version=engine_version,
            default_image=self._facts.default_image,
            message_bytes_max=MESSAGE_BYTES_MAX,
            node=self._facts.node,
            stage_settings=STAGE_SETTINGS,
            caller=_caller(context),
        )

    async def GetDvcRemote(  # noqa: N802
        self, request: system_pb2.GetDvcRemoteRequest, context: Context
    ) -> system_pb2.GetDvcRemoteResponse:
        """Describe the bucket as a DVC remote."""
        return system_pb2.GetDvcRemoteResponse(
            url=self._facts.store_url,
            endpointurl=self._facts.s3_endpoint,
            region=self._facts.s3_region,
            access_key_id=self._facts.access_key,
            secret_access_key=self._facts.secret_key,
        )

    async def RemoveLeftovers(  # noqa: N802
        self, request: system_pb2.RemoveLeftoversRequest, context: Context
    ) -> system_pb2.RemoveLeftoversResponse:
        """Remove what ended services left."""
        removed = await self._leftovers.remove()
        return system_pb2.RemoveLeftoversResponse(
            removed=[
                system_pb2.Leftover(kind=trace.kind.value, name=trace.name, home=trace.home)
                for trace in removed
            ]
        )

    async def CheckService(  # noqa: N802
        self, request: system_pb2.CheckServiceRequest, context: Context
    ) -> system_pb2.CheckServiceResponse:
        """Try what the service stands on."""
        findings = await self._check()
        now = Timestamp()
        now.FromDatetime(self._clock.now())
        return system_pb2.CheckServiceResponse(
            findings=[
                system_pb2.CheckFinding(
                    name=finding.name,
                    state=_STATES[finding.state],
                    message=finding.message,
                    hint=finding.hint,
                )
                for finding in findings
            ],
            now=now,
        )


def _caller(context: Context) -> system_pb2.Caller:
    caller = caller_now()
    token = caller.token
    return system_pb2.Caller(
        user=user_of(context),
        token=token.name if token is not None else "",
        is_owner=caller.is_owner,
        expires_at=moment(token.expires_at) if token is not None else None,
    )
