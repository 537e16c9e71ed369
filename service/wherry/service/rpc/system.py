"""SystemService: about the service itself."""

from dataclasses import dataclass, field

from wherry.service.domain.errors import EngineUnavailable
from wherry.service.domain.limits import MESSAGE_BYTES_MAX
from wherry.service.ports.containers import ContainerEngine
from wherry.service.rpc.context import Context
from wherry.v1 import system_pb2, system_pb2_grpc


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

    def __init__(self, *, facts: SystemFacts, engine: ContainerEngine) -> None:
        """Tell `facts`, and ask `engine` for its version."""
        self._facts = facts
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
