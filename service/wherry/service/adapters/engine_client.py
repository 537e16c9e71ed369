"""The Docker engine's API for what takes long: calls in threads, and streams of messages that can be broken off."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests
import requests.exceptions
from docker import APIClient
from docker.utils import kwargs_from_env

from wherry.service.adapters.engine_errors import engine_errors
from wherry.service.domain.errors import EngineUnavailable

_T = TypeVar("_T")

_THREADS = 16
_CALL_TIMEOUT_S = 600


class EngineClient:
    """One engine, reached where DOCKER_HOST (else the usual socket) says. Close it when done."""

    def __init__(self) -> None:
        """Nothing is asked of the engine before the first call."""
        self._client: APIClient | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, "docker-images")

    async def call(self, action: Callable[[APIClient], _T]) -> _T:
        """Do something with the SDK's client, in a thread; what that raises is told in the domain's words."""

        def run() -> _T:
            with engine_errors():
                return action(self._connect())

        return await self.run(run)

    async def run(self, action: Callable[..., _T], *arguments: Any) -> _T:
        """Do something in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, action, *arguments)

    def submit(self, action: Callable[[], None]) -> "asyncio.Future[None]":
        """Begin something in a thread."""
        return asyncio.wrap_future(self._threads.submit(action))

    async def post(
        self, path: str, *, params: Mapping[str, Any], headers: Mapping[str, str], data: Any = None
    ) -> requests.Response:
        """Post by hand, because the SDK gives no way to break what follows off."""
        return await self.call(
            lambda client: client.post(
                f"{client.base_url}/v{client.api_version}{path}",
                params=params,
                data=data,
                headers=headers,
                stream=True,
                timeout=None,
            )
        )

    async def messages(self, response: requests.Response) -> AsyncGenerator[Mapping[str, Any]]:
        """Yield the JSON documents of an answer, a line each; closing early ends what the engine does."""
        reading = _Reading(response)
        documents = reading.documents()
        try:
            while (document := await self.run(next, documents, None)) is not None:
                yield document
        finally:
            reading.close()

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connect(self) -> APIClient:
        with self._lock:
            if self._client is None:
                where: Any = kwargs_from_env()
                self._client = APIClient(
                    version="auto", timeout=_CALL_TIMEOUT_S, max_pool_size=_THREADS, **where
                )
                # Proxies and .netrc are not for the engine, and looking them up costs every request.
                self._client.trust_env = False
            return self._client


@dataclass(slots=True)
class _Reading:
    response: requests.Response
    closed: bool = field(default=False)

    def documents(self) -> Iterator[Mapping[str, Any]]:
        try:
            for line in self.response.iter_lines():
                if line:
                    yield json.loads(line)
        except (requests.exceptions.RequestException, OSError, ValueError) as exc:
            if not self.closed:
                raise EngineUnavailable(f"the Docker engine broke off: {exc}") from exc

    def close(self) -> None:
        """Shut the connection down under a thread that may be reading it."""
        self.closed = True
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self.response.raw.shutdown()
        self.response.close()


def said_by(response: requests.Response) -> str:
    """What the engine says in an answer that is an error."""
    with response:
        try:
            return str(response.json().get("message", ""))
        except ValueError:
            return response.reason or ""
