"""Load gRPC without its half for asyncio, and without asyncio itself, which no command uses: a third of what loading it costs."""

import importlib
import sys
from types import ModuleType

# gRPC's core names asyncio when it is loaded, and uses it for the other half alone.
_UNUSED = ("asyncio", "grpc.aio")


class _PutOff(ModuleType):
    """Stands for a module that is loaded when something of it is used."""

    def __getattr__(self, name: str) -> object:
        # What every module has is asked for by the import system itself.
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def put_off_unused() -> None:
    """Let those be loaded when they are used; to be called before gRPC is loaded, else it changes nothing.

    Commands must not import modules of theirs by name: that needs the package itself.
    """
    if "grpc" not in sys.modules:
        for name in _UNUSED:
            sys.modules.setdefault(name, _PutOff(name))
