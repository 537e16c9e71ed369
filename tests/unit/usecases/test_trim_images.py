"""Images that were made are kept within a bound."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from wherry.service.adapters.image_uses_file import FileImageUses
from wherry.service.domain.errors import EngineUnavailable
from wherry.service.ports.images import MadeImage, MadeImages
from wherry.service.usecases.trim_images import TrimImages


class _Engine(MadeImages):
    def __init__(self, *images: MadeImage) -> None:
        self.images = {image.name: image for image in images}
        self.answers = True

    async def list_made(self) -> tuple[MadeImage, ...]:
        if not self.answers:
            raise EngineUnavailable("gone")
        return tuple(self.images.values())

    async def remove_made(self, name: str) -> None:
        del self.images[name]


def _image(name: str, *, size: int = 10, runs: bool = False) -> MadeImage:
    return MadeImage(name=name, own_bytes=size, has_containers=runs)


def _trim(
    tmp_path: Path,
    engine: _Engine,
    used: Collection[str],
    *,
    bytes_max: int,
    in_use: Collection[str] = (),
) -> list[str]:
    """What is left; the images were used one after the other."""

    async def main() -> None:
        uses, clock = FileImageUses(tmp_path / "uses.json"), FakeClock()
        trim = TrimImages(made=engine, uses=uses, clock=clock, log=FakeEventLog(), bytes_max=bytes_max)
        for minute, name in enumerate(used):
            await uses.note(name, clock.now() + timedelta(minutes=minute))
        await trim(lambda: in_use)

    asyncio.run(main())
    return sorted(engine.images)


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    engine = _Engine(*(_image(name) for name in "abcd"))
    # Nothing is known of d.
    assert _trim(tmp_path, engine, "bca", bytes_max=20) == ["a", "c"]


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    engine = _Engine(_image("a"), _image("b", runs=True), _image("c"))
    assert _trim(tmp_path, engine, "abc", bytes_max=0, in_use=["a"]) == ["a", "b"]


def test_within_the_bound_nothing_goes(tmp_path: Path) -> None:
    engine = _Engine(_image("a"), _image("b"))
    assert _trim(tmp_path, engine, "ab", bytes_max=20) == ["a", "b"]


def test_an_engine_that_does_not_answer_is_no_harm(tmp_path: Path) -> None:
    engine = _Engine(_image("a"))
    engine.answers = False
    assert _trim(tmp_path, engine, "a", bytes_max=0) == ["a"]


def test_uses_survive_the_service_and_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    path, clock = tmp_path / "uses.json", FakeClock()
    asyncio.run(FileImageUses(path).note("a", clock.now()))
    assert asyncio.run(FileImageUses(path).all()) == {"a": clock.now()}
    path.write_text("[")
    assert asyncio.run(FileImageUses(path).all()) == {}
