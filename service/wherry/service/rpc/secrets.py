"""SecretService: secrets go in here and never come out."""

from google.protobuf.timestamp_pb2 import Timestamp

from wherry.service.domain.errors import InvalidInput
from wherry.service.rpc.caller import user_of
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import name_from
from wherry.service.usecases.keep_secrets import KeepSecrets
from wherry.v1 import secrets_pb2, secrets_pb2_grpc


class SecretServicer(secrets_pb2_grpc.SecretServiceServicer):
    """Translates for KeepSecrets."""

    def __init__(self, keep: KeepSecrets) -> None:
        self._keep = keep

    async def PutSecret(  # noqa: N802 - named by the protocol
        self, request: secrets_pb2.PutSecretRequest, context: Context
    ) -> secrets_pb2.PutSecretResponse:
        """Set a secret."""
        await self._keep.put(
            _project_from(request.project), request.name, request.value, user=user_of(context)
        )
        return secrets_pb2.PutSecretResponse()

    async def ListSecrets(  # noqa: N802
        self, request: secrets_pb2.ListSecretsRequest, context: Context
    ) -> secrets_pb2.ListSecretsResponse:
        """List names."""
        response = secrets_pb2.ListSecretsResponse()
        for record in await self._keep.list_records(_project_from(request.project)):
            set_at = Timestamp()
            set_at.FromDatetime(record.set_at)
            response.secrets.add(name=record.name, user=record.user, set_at=set_at)
        return response

    async def DeleteSecret(  # noqa: N802
        self, request: secrets_pb2.DeleteSecretRequest, context: Context
    ) -> secrets_pb2.DeleteSecretResponse:
        """Remove a secret."""
        await self._keep.remove(_project_from(request.project), request.name)
        return secrets_pb2.DeleteSecretResponse()


def _project_from(text: str) -> str:
    """Read the name of a project.

    Raises:
        InvalidInput: if there is none, or it is no name.
    """
    name = name_from(text, "project")
    if not name:
        raise InvalidInput("a secret belongs to a project: name it")
    return name
