"""TokenService: tokens beside the service's own."""

from wherry.service.domain.tokens import TokenRecord
from wherry.service.rpc.caller import caller_now
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import moment
from wherry.service.usecases.keep_tokens import KeepTokens
from wherry.v1 import tokens_pb2, tokens_pb2_grpc


class TokenServicer(tokens_pb2_grpc.TokenServiceServicer):
    """Translates for KeepTokens."""

    def __init__(self, keep: KeepTokens) -> None:
        self._keep = keep

    async def CreateToken(  # noqa: N802 - named by the protocol
        self, request: tokens_pb2.CreateTokenRequest, context: Context
    ) -> tokens_pb2.CreateTokenResponse:
        """Make a token."""
        token, record = await self._keep.create(
            caller_now(), name=request.name, user=request.user, lifetime_s=request.lifetime_s
        )
        return tokens_pb2.CreateTokenResponse(token=token, record=_message(record))

    async def ListTokens(  # noqa: N802
        self, request: tokens_pb2.ListTokensRequest, context: Context
    ) -> tokens_pb2.ListTokensResponse:
        """List them."""
        records = await self._keep.list_records(caller_now())
        return tokens_pb2.ListTokensResponse(tokens=[_message(record) for record in records])

    async def DeleteToken(  # noqa: N802
        self, request: tokens_pb2.DeleteTokenRequest, context: Context
    ) -> tokens_pb2.DeleteTokenResponse:
        """Remove one."""
        removed = await self._keep.remove(caller_now(), request.name)
        return tokens_pb2.DeleteTokenResponse(removed=_message(removed))


def _message(record: TokenRecord) -> tokens_pb2.TokenRecord:
    return tokens_pb2.TokenRecord(
        name=record.name,
        user=record.user,
        created_at=moment(record.created_at),
        used_at=moment(record.used_at),
        expires_at=moment(record.expires_at),
    )
