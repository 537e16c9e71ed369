"""Load gRPC and protobuf without the halves that no command uses: half of what loading them costs.

That is asyncio and what gRPC does with it, and messages in plain Python, which are there for machines without the compiled ones.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

_AIO, _ASYNCIO = "grpc.aio", "asyncio"
_PLAIN_MESSAGES = "google.protobuf.internal.python_message"


class _PutOff(ModuleType):
    """Stands for a module that is loaded when something of it is used."""

    def __getattr__(self, name: str) -> object:
        # What every module has is asked for by the import system itself.
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def unused_put_off() -> Iterator[None]:
    """Let both be loaded when they are used, if gRPC is loaded in this block for the first time."""
    if "grpc" in sys.modules:
        yield
        return
    stand_in = _PutOff(_ASYNCIO)
    sys.modules.setdefault(_AIO, _PutOff(_AIO))
    sys.modules.setdefault(_PLAIN_MESSAGES, _PutOff(_PLAIN_MESSAGES))
    sys.modules.setdefault(_ASYNCIO, stand_in)
    try:
        yield
    finally:
        # Whoever imports it from here on gets it whole, with its submodules; gRPC keeps the other.
        if sys.modules.get(_ASYNCIO) is stand_in:
            del sys.modules[_ASYNCIO]
