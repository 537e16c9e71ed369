"""The context of a call, with its type arguments filled in: gRPC's stubs make it generic."""

from typing import Any, TypeAlias

import grpc

# A string, because the class is generic in the stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
