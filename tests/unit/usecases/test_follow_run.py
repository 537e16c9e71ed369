"""Streams of a run's events and lines end by themselves, however long the caller would stay."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.virtual_time import VirtualLoop
from tests.unit.usecases.logs_service import Service
from wherry.service.domain.states import State


@pytest.mark.parametrize(("asked_s", "lasts_s"), [(None, 3600), (1e9, 3600), (7.5, 7.5)])
def test_no_stream_lasts_longer_than_an_hour(tmp_path: Path, asked_s: float | None, lasts_s: float) -> None:
    async def follow(service: Service) -> tuple[float, float]:
        loop, run = asyncio.get_running_loop(), await service.new_run(state=State.RUNNING)
        began = loop.time()
        assert [event async for event in service.follow.events(run, after=0, wait_s=asked_s)]
        between = loop.time()
        lines = service.follow.lines(run, stage=None, after=0, follow=True, wait_s=asked_s)
        pages = [page async for page in lines]
        assert len(pages) == 1
        # There may be more: whoever wants it asks again.
        assert not pages[0].is_last
        return between - began, loop.time() - between

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        lasted = runner.run(follow(Service(tmp_path)))

    assert list(lasted) == pytest.approx([lasts_s, lasts_s], abs=1)
