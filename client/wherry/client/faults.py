"""From gRPC's errors to ours: status code and `google.rpc.ErrorInfo` decide the family."""

from typing import TYPE_CHECKING

import grpc

from wherry.client.errors import (
    ClientError,
    Invalid,
    NotAllowed,
    ProtocolBroken,
    Refused,
    TryLater,
    Unknown,
    Unreachable,
)

if TYPE_CHECKING:
    from google.rpc import error_details_pb2

_FAMILIES: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.UNAUTHENTICATED: NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.UNAVAILABLE: Unreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unreachable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TryLater,
    grpc.StatusCode.NOT_FOUND: Unknown,
    grpc.StatusCode.INVALID_ARGUMENT: Invalid,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
}

# Preconditions of the pipeline, not of the world: it cannot run as it stands.
_INVALID_REASONS = frozenset({"DATA_MISSING", "DATA_CHANGED", "IMAGE_NOT_FOUND"})


def from_rpc(error: Exception, *, target: str, embedded: bool, origin: str = "") -> ClientError:
    """Translate what a call raised. `target` is the address that was called, `origin` who names it."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return ProtocolBroken(f"the call to {target} failed: {error}", reason="INTERNAL")
    code = error.code()
    info = _error_info(error)
    if info is None:
        return _plain(code, error.details() or "", target=target, embedded=embedded, origin=origin)
    family = _FAMILIES.get(code, ProtocolBroken)
    if code is grpc.StatusCode.FAILED_PRECONDITION and info.reason in _INVALID_REASONS:
        family = Invalid
    metadata = info.metadata
    # Lines and columns count from 1: 0 is unknown.
    place = (metadata.get(key, "") for key in ("path", "line", "column"))
    where = ":".join(part for part in place if part not in {"", "0"})
    return family(
        error.details() or info.reason,
        hint=metadata.get("hint", ""),
        where=where,
        reason=info.reason,
    )


def _plain(code: grpc.StatusCode, said: str, *, target: str, embedded: bool, origin: str) -> ClientError:
    """An error without details comes from gRPC itself, or from something between us and the service."""
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
        # gRPC's words begin with all that it tried.
        last = said.rpartition("Failed to connect to remote host: ")[2]
        why = "it does not answer in time" if code is grpc.StatusCode.DEADLINE_EXCEEDED else last
        return Unreachable(
            f"cannot reach the service at {target}: {why}",
            hint="start it with `wherry up`"
            if embedded
            else f"check the address{f', which is that of {origin}' if origin else ''}; "
            "`wherry config --show-origin` lists all that is set",
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ProtocolBroken(
            f"the service at {target} does not know this call",
            hint="client and service differ in version: compare `wherry version` with `wherry service status`",
            reason="UNIMPLEMENTED",
        )
    return _FAMILIES.get(code, ProtocolBroken)(said or code.name, reason=code.name)


def _error_info(error: "grpc.Call | grpc.aio.AioRpcError") -> "error_details_pb2.ErrorInfo | None":
    # Imported when there is an error: most commands have none, and all would start later.
    from google.rpc import error_details_pb2  # noqa: PLC0415
    from grpc_status import rpc_status  # noqa: PLC0415

    try:
        # Both have the methods that it asks for.
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:  # code and details disagree: not from a service of ours
        return None
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == "wherry":
            return info
    return None
