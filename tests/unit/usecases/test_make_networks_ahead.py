"""Networks are made ahead again and again, and an engine that is away is left alone for a while."""

import asyncio

from tests.fakes.virtual_time import LoopClock, VirtualLoop
from wherry.service.domain.errors import EngineUnavailable
from wherry.service.ports.networks_ahead import NetworksAhead
from wherry.service.usecases.make_networks_ahead import MakeNetworksAhead


class Engine(NetworksAhead):
    """Is away the second time."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []

    async def make_network_ahead(self) -> None:
        self.asked_s.append(asyncio.get_running_loop().time())
        if len(self.asked_s) == 2:
            raise EngineUnavailable("away")


def test_an_engine_that_was_away_is_asked_again_later() -> None:
    engine = Engine()

    async def check() -> None:
        ahead = MakeNetworksAhead(engine=engine, clock=LoopClock())
        ahead.start()
        await asyncio.sleep(61.5)
        await ahead.close()
        await asyncio.sleep(1000)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(check())
    assert engine.asked_s == [0.0, 1.0, 61.0]
