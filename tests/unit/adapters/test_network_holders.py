"""When networks are made ahead, and when not: engines that answer are in the contract's tests."""

from collections.abc import Callable
from typing import NoReturn

import docker.errors
import pytest
from docker import APIClient

from wherry.service.adapters.network_holders_docker import NetworkHolders
from wherry.service.adapters.stage_network_docker import StageNetwork

QUIET_S = 2.0
AGAIN_S = 60.0


class Site:
    """Holders on an engine that is away, and a clock."""

    def __init__(self, ahead: int) -> None:
        self.now_s = 0.0
        self.holders = NetworkHolders(
            StageNetwork("wt-none"),
            most=2,
            runtime="",
            later=lambda _: None,
            ahead=ahead,
            now_s=lambda: self.now_s,
        )


def test_none_is_made_ahead_where_none_is_wanted() -> None:
    assert not Site(ahead=0).holders.lacks_ahead()


@pytest.mark.parametrize(
    "happens",
    [
        lambda holders: holders.take("name", "run"),
        lambda holders: holders.rename("name", "container"),
        lambda holders: holders.put_back("container"),
    ],
)
def test_what_begins_or_ends_comes_first(happens: Callable[[NetworkHolders], object]) -> None:
    site = Site(ahead=1)
    assert site.holders.lacks_ahead()
    happens(site.holders)
    assert not site.holders.lacks_ahead()
    site.now_s += QUIET_S
    assert site.holders.lacks_ahead()


class Away(APIClient):
    """Opens no connection that could not be closed."""

    def __init__(self) -> None:
        self.asked = 0

    def info(self) -> NoReturn:
        self.asked += 1
        raise docker.errors.DockerException("away")


def test_an_engine_that_is_away_is_not_asked_again_at_once() -> None:
    site, client = Site(ahead=1), Away()
    site.holders.make_ahead(client)
    assert client.asked == 1
    site.now_s += AGAIN_S - 1
    assert not site.holders.lacks_ahead()
    site.now_s += 1
    assert site.holders.lacks_ahead()
