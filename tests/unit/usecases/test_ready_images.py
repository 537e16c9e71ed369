"""An image is pulled or made once, however many wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, cast

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from wherry.service.domain.errors import ImageNotMade
from wherry.service.domain.images.image import Image, InstallRecipe, PullPolicy, installed_image
from wherry.service.ports.images import (
    DockerBuild,
    ImageMaker,
    ImageStore,
    ImageUses,
    Installation,
    MadeImage,
    MadeImages,
    Tell,
)
from wherry.service.ports.workspaces import NodeCache
from wherry.service.usecases.ready_images import ReadyImages
from wherry.service.usecases.trim_images import TrimImages

DEADLINE_S = 10

_BASE = Image(name="base", digest="base@sha256:aa", platform="linux/amd64")
_IMAGE = installed_image(InstallRecipe(base=_BASE, script="", files={}), "requirements.txt")


class _Engine(ImageStore, ImageMaker, MadeImages):
    """Makes an image when it is told to, or fails with an error."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.begun: list[str] = []
        self.stopped: list[str] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def resolve(self, name: str, policy: PullPolicy) -> Image:
        raise AssertionError

    async def holds(self, name: str) -> bool:
        return name in self.held

    async def pull(self, image: Image, tell: Tell) -> None:
        self.begun.append(image.digest)
        self.held.add(image.digest)

    async def install(self, installation: Installation, tell: Tell) -> None:
        self.begun.append(installation.name)
        try:
            await tell([b"installing", b"ERROR: no such package"])
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(installation.name)
            raise
        if self.error is not None:
            raise self.error
        self.held.add(installation.name)

    async def build(self, build: DockerBuild, tell: Tell) -> None:
        raise AssertionError

    async def list_made(self) -> tuple[MadeImage, ...]:
        return tuple(MadeImage(name=name, own_bytes=1, has_containers=False) for name in sorted(self.held))

    async def remove_made(self, name: str) -> None:
        self.held.discard(name)


class _Uses(ImageUses):
    async def note(self, name: str, at: datetime) -> None:
        """Nobody asks."""

    async def forget(self, name: str) -> None:
        """Nobody asks."""

    async def all(self) -> Mapping[str, datetime]:
        return {}


class _Waiter:
    """A stage that needs the image, and then runs until it is told to end."""

    def __init__(self, ready: ReadyImages) -> None:
        self.lines: list[bytes] = []
        self.told = asyncio.Event()
        self.has_it = asyncio.Event()
        self.may_end = asyncio.Event()
        self.task = asyncio.create_task(self._run(ready))

    async def _tell(self, lines: Sequence[bytes]) -> None:
        self.lines += lines
        self.told.set()

    async def _run(self, ready: ReadyImages) -> None:
        async with ready(_IMAGE, self._tell):
            self.has_it.set()
            await self.may_end.wait()


def check(what: Callable[[_Engine, ReadyImages], Awaitable[None]]) -> None:
    async def main() -> None:
        engine = _Engine()
        trim = TrimImages(made=engine, uses=_Uses(), clock=FakeClock(), log=FakeEventLog(), bytes_max=0)
        node = cast("NodeCache", _Node())
        ready = ReadyImages(store=engine, maker=engine, node=node, trim=trim, installer={}, at_once=1)
        async with asyncio.timeout(DEADLINE_S):
            await what(engine, ready)
        assert ready.in_use() == frozenset()

    asyncio.run(main())


class _Node:
    """Nothing is laid out of an empty recipe."""

    def lease(self) -> Any:
        return nullcontext(None)


def test_who_comes_later_waits_for_the_same_and_hears_what_was_said() -> None:
    async def what(engine: _Engine, ready: ReadyImages) -> None:
        first = _Waiter(ready)
        await first.told.wait()
        second = _Waiter(ready)
        await second.told.wait()
        engine.go.set()
        for waiter in (first, second):
            await waiter.has_it.wait()
            waiter.may_end.set()
            await waiter.task
        assert engine.begun == [_BASE.digest, _IMAGE.digest]
        assert b"installing" in first.lines
        assert b"installing" in second.lines

    check(what)


def test_only_when_the_last_one_leaves_it_is_stopped_and_may_begin_anew() -> None:
    async def what(engine: _Engine, ready: ReadyImages) -> None:
        first = _Waiter(ready)
        await first.told.wait()
        second = _Waiter(ready)
        await second.told.wait()
        first.task.cancel()
        await asyncio.wait([first.task])
        assert engine.stopped == []
        second.task.cancel()
        await asyncio.wait([second.task])
        assert engine.stopped == [_IMAGE.digest]
        engine.go.set()
        third = _Waiter(ready)
        third.may_end.set()
        await third.task
        assert engine.begun.count(_IMAGE.digest) == 2

    check(what)


def test_a_failure_is_told_to_all_who_wait_with_the_line_that_says_why_and_is_not_kept() -> None:
    async def what(engine: _Engine, ready: ReadyImages) -> None:
        engine.error = ImageNotMade("the packages could not be installed")
        waiters = [_Waiter(ready), _Waiter(ready)]
        engine.go.set()
        for waiter in waiters:
            with pytest.raises(ImageNotMade, match=r"requirements.txt on base: .* ERROR: no such package"):
                await waiter.task
        engine.error = None
        again = _Waiter(ready)
        again.may_end.set()
        await again.task

    check(what)


def test_what_is_in_use_is_not_trimmed() -> None:
    async def what(engine: _Engine, ready: ReadyImages) -> None:
        engine.held.add("wherry/requirements:old")
        engine.go.set()
        waiter = _Waiter(ready)
        await waiter.has_it.wait()
        # The bound is 0 bytes: all that nobody uses went.
        assert engine.held == {_IMAGE.digest}
        waiter.may_end.set()
        await waiter.task

    check(what)
