"""A program that does one thing with Hydra: a request on stdin, an answer on stdout, both JSON.

What it reads was submitted by strangers. It therefore limits itself (time, memory), starts without an environment, and
refuses, below all libraries, whatever touches files, processes, networks or code that Hydra does not consist of.
"""

import base64
import json
import os
import random
import resource
import sys
import sysconfig
from typing import Any

from wherry.service.adapters import hydra_requests
from wherry.service.domain.errors import InvalidInput, TooMany
from wherry.service.domain.limits import DVC_FILE_BYTES_MAX

CPU_S = 20
MEMORY_BYTES = 1024 * 1024 * 1024
_FILES = 64

_DENIED = ("os.", "subprocess.", "socket.", "ctypes.", "shutil.", "pty.", "urllib.", "ftplib.", "webbrowser.")
_LOOKED_AT = ("os.listdir", "os.scandir")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PACKAGES = frozenset({"hydra", "omegaconf", "antlr4", "yaml", "ruamel", "tomlkit", "wherry", "packaging"})


def limit() -> None:
    """Bound what this process may use."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))


def confine() -> None:
    """From here on refuse files outside of Python's own packages, code that is not Hydra's, processes, networks."""
    roots = tuple(
        os.path.realpath(path) + os.sep
        for path in {
            sysconfig.get_path("stdlib"),
            sysconfig.get_path("purelib"),
            sysconfig.get_path("platlib"),
        }
    )
    standard = sys.stdlib_module_names

    def is_own(path: object) -> bool:
        return isinstance(path, str) and os.path.realpath(path).startswith(roots)

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, flags = arguments[0], arguments[2]
            allowed = isinstance(path, int) or (is_own(path) and not flags & _WRITING)
        elif event in _LOOKED_AT:
            allowed = is_own(arguments[0])
        elif event == "import":
            root = str(arguments[0]).partition(".")[0]
            allowed = root in standard or root in _PACKAGES
        else:
            allowed = not event.startswith(_DENIED)
        if not allowed:
            raise PermissionError(f"{event} is not allowed here: {str(arguments[:1])[:200]}")

    sys.addaudithook(check)


def answer(request: dict[str, Any]) -> Any:
    """Do what is asked; bytes travel as base64."""
    kind = request["do"]
    if kind == "set":
        data = base64.b64decode(request["data"])
        return _encoded(hydra_requests.set_params(data, request["path"], request["overrides"]))
    if kind == "compose":
        return _encoded(
            hydra_requests.compose(request["files"], request["config_name"], request["overrides"])
        )
    assert kind == "expand"
    return hydra_requests.expand(request["set_params"])


def _encoded(data: bytes) -> str:
    if len(data) > DVC_FILE_BYTES_MAX:
        raise TooMany(f"the parameters would have {len(data)} bytes, more than {DVC_FILE_BYTES_MAX}")
    return base64.b64encode(data).decode()


def main() -> None:
    """Answer one request."""
    limit()
    hydra_requests.prepare()
    text = sys.stdin.read()
    confine()
    # shuffle(…) is the same each time the same is asked: a submission is read more than once.
    random.seed(text)
    told: dict[str, Any]
    try:
        told = {"answer": answer(json.loads(text))}
    except InvalidInput as exc:
        told = {"refused": {"message": exc.message, "hint": exc.hint}}
    except MemoryError:
        told = {"exhausted": True}
    except Exception as exc:  # noqa: BLE001 - whatever the library raises comes from what it was given
        error = hydra_requests.refusal(exc, f"Hydra fails ({type(exc).__name__})")
        told = {"refused": {"message": error.message, "hint": error.hint}}
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
