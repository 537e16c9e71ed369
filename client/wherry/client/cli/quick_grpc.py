"""Load gRPC without its half for asyncio, which no command uses: a quarter of what loading it costs."""

import importlib
import sys
from types import ModuleType

_UNUSED = "grpc.aio"


class _PutOff(ModuleType):
    """Stands for a module that is loaded when something of it is used."""

    def __getattr__(self, name: str) -> object:
        # What every module has is asked for by the import system itself.
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_UNUSED) is self:
            del sys.modules[_UNUSED]
        return getattr(importlib.import_module(_UNUSED), name)


def put_off_unused() -> None:
    """Let that half be loaded when it is used; to be called before gRPC is loaded, else it changes nothing."""
    if "grpc" not in sys.modules:
        sys.modules.setdefault(_UNUSED, _PutOff(_UNUSED))
