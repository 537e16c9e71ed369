"""What ended services left on a real engine is found and removed; what belongs to one at work is not."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.engine_fixtures import IMAGE, engine
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.home_lock import hold_home, is_at_work
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.adapters.traces_docker import HOME_LABEL, SERVICE_LABEL, DockerTraces
from wherry.service.domain.task import AttemptId
from wherry.service.ports.traces import Trace
from wherry.service.usecases.find_leftovers import FindLeftovers

__all__ = ["engine"]


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    made = docker.from_env()
    yield made
    made.close()


def labels_of(home: Path, **more: str) -> dict[str, str]:
    return {SERVICE_LABEL: home.name, HOME_LABEL: str(home), **more}


def leave(client: docker.DockerClient, home: Path, attempt: str = "a1") -> tuple[str, str]:
    """Leave a network and a container in it that runs, as a service that was killed does; returns their names."""
    network = StageNetwork(f"wt-{uuid.uuid4().hex[:8]}", labels=labels_of(home))
    network.ensure(client.api)
    container = client.containers.run(
        IMAGE,
        ["sleep", "1000"],
        detach=True,
        network=network.name,
        labels=labels_of(home, **{"wherry.attempt": attempt}),
    )
    return str(container.name), network.name


def test_of_services_that_are_gone_all_is_removed_and_of_others_nothing(
    engine: DockerContainerEngine, client: docker.DockerClient, tmp_path: Path
) -> None:
    homes = [tmp_path / f"{name}-{uuid.uuid4().hex}" for name in ("gone", "killed", "working", "own")]
    gone, killed, working, own = homes
    for home in (killed, working, own):
        home.mkdir()
    with hold_home(killed):
        pass
    names = {home: leave(client, home) for home in homes}
    other = leave(client, own, attempt="going")
    find = FindLeftovers(
        traces=DockerTraces(engine),
        service=own.name,
        # Of all that is on the engine, this test has to do with its own.
        at_work=lambda home: Path(home) not in homes or is_at_work(Path(home)),
        going=lambda: {AttemptId("going")},
    )

    async def check() -> list[Trace]:
        removed = list(await find.remove())
        assert list(await find()) == []
        return removed

    try:
        with hold_home(working):
            removed = asyncio.run(check())
        expected = {*names[gone], *names[killed], names[own][0]}
        assert {trace.name for trace in removed} == expected
        assert {trace.home for trace in removed} == {str(gone), str(killed), str(own)}
        left = {str(item.name) for item in client.containers.list(all=True)}
        left |= {str(item.name) for item in client.networks.list()}
        assert not expected & left
        assert {*names[working], *other, names[own][1]} <= left
    finally:
        for container in client.containers.list(all=True, filters={"label": HOME_LABEL}):
            if Path(container.labels[HOME_LABEL]) in homes:
                container.remove(force=True)
        for _, network in (*names.values(), other):
            StageNetwork(network).remove(client.api)


def test_a_home_is_at_work_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    assert not is_at_work(tmp_path / "none")
    assert is_at_work(tmp_path)  # somebody who holds no lock: it cannot be told
    with hold_home(tmp_path), hold_home(tmp_path):
        assert is_at_work(tmp_path)
    assert not is_at_work(tmp_path)
