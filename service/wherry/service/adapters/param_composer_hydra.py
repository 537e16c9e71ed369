"""ParamComposer with Hydra, in a process of its own for each question."""

import asyncio
import base64
import contextlib
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from wherry.service.domain.errors import InvalidInput
from wherry.service.ports.param_composer import ParamComposer

_WORKER = "wherry.service.adapters.hydra_worker"
# Beyond the limits that the worker sets itself: it may also wait for a busy machine.
_WALL_S = 60.0
_ENDED_BY_LIMIT = (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGSEGV)


class HydraParamComposer(ParamComposer):
    """Starts the worker without environment, and stops it when it takes too long."""

    def __init__(self, *, at_once: int, wall_s: float = _WALL_S) -> None:
        """Run at most so many at once; each for at most so many seconds."""
        self._places = asyncio.Semaphore(at_once)
        self._wall_s = wall_s

    async def set_params(self, data: bytes, path: str, overrides: Sequence[str]) -> bytes:
        """Apply overrides to a parameters file."""
        encoded = base64.b64encode(data).decode()
        return base64.b64decode(
            await self._ask({"do": "set", "data": encoded, "path": path, "overrides": list(overrides)})
        )

    async def compose(self, files: Mapping[str, bytes], config_name: str, overrides: Sequence[str]) -> bytes:
        """Compose a configuration out of these files."""
        texts = {path: _text(path, data) for path, data in files.items()}
        request = {"do": "compose", "files": texts, "config_name": config_name, "overrides": list(overrides)}
        return base64.b64decode(await self._ask(request))

    async def expand(self, set_params: Sequence[str]) -> list[tuple[str, ...]]:
        """Expand sweeps."""
        answer = await self._ask({"do": "expand", "set_params": list(set_params)})
        return [tuple(texts) for texts in answer]

    async def _ask(self, request: Mapping[str, Any]) -> Any:
        async with self._places:
            code, out, err = await self._run(json.dumps(request).encode())
        if code in _ENDED_BY_LIMIT:
            raise _exhausted()
        if code != 0:
            raise RuntimeError(f"the Hydra worker ended with {code}: {err.decode(errors='replace')[-2000:]}")
        told = json.loads(out)
        if "exhausted" in told:
            raise _exhausted()
        if "refused" in told:
            raise InvalidInput(told["refused"]["message"], hint=told["refused"]["hint"])
        return told["answer"]

    async def _run(self, stdin: bytes) -> tuple[int, bytes, bytes]:
        # -I: neither the environment, nor the folder, nor packages of a user have a part in it.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            _WORKER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), self._wall_s)
        except TimeoutError:
            raise _exhausted() from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return process.returncode or 0, out, err


def _text(path: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"the configuration {path} is not UTF-8 text") from exc


def _exhausted() -> InvalidInput:
    return InvalidInput(
        "Hydra did not come to an end within its limits of time and memory",
        hint="Look for interpolations that multiply each other, or values repeated by YAML aliases.",
    )
