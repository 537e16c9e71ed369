"""What ended services left on a real engine is found and removed; what belongs to one at work is not."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.engine_fixtures import IMAGE, Bench, bench, engine
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.home_lock import hold_home, is_at_work
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.adapters.traces_docker import HOME_LABEL, SERVICE_LABEL, DockerTraces
from wherry.service.adapters.traces_machine import LocalTraces
from wherry.service.domain.task import AttemptId
from wherry.service.ports.traces import Trace, TraceKind
from wherry.service.usecases.find_leftovers import FindLeftovers

__all__ = ["bench", "engine"]


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


FILES = ("node/incoming/x", "uploads/upload-y", "workspaces/a1")


def leave_files(home: Path) -> None:
    """Leave what is there only while a service is at work."""
    for name in FILES:
        (home / name).mkdir(parents=True)
        (home / name / "part").write_text("half")
        (home / name / "part").chmod(0o400)


def files_in(home: Path) -> set[str]:
    return {name for name in FILES if (home / name).exists()}


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
    for home in (killed, working, own):
        leave_files(home)
    find = FindLeftovers(
        traces=DockerTraces(engine),
        machine=LocalTraces(engine),
        service=own.name,
        # Of all that is on the engine, this test has to do with its own.
        at_work=lambda home: Path(home) not in homes or is_at_work(Path(home)),
        going=lambda: {AttemptId("going")},
    )

    async def check() -> list[Trace]:
        removed = list(await find.remove())
        assert [trace for trace in await find() if trace.home] == []
        return removed

    try:
        with hold_home(working):
            removed = asyncio.run(check())
        expected = {*names[gone], *names[killed], names[own][0]}
        whose = [trace for trace in removed if trace.home]
        assert {trace.name for trace in whose} == {*expected, *FILES}
        assert {trace.home for trace in whose} == {str(gone), str(killed), str(own)}
        assert {home.name: files_in(home) for home in (killed, working, own)} == {
            killed.name: set(),
            working.name: set(FILES),
            own.name: set(FILES),
        }
        left = {str(item.name) for item in client.containers.list(all=True, ignore_removed=True)}
        left |= {str(item.name) for item in client.networks.list()}
        assert not expected & left
        assert {*names[working], *other, names[own][1]} <= left
    finally:
        for container in client.containers.list(all=True, filters={"label": HOME_LABEL}, ignore_removed=True):
            if Path(container.labels[HOME_LABEL]) in homes:
                container.remove(force=True)
        for _, network in (*names.values(), other):
            StageNetwork(network).remove(client.api)


def test_accounts_and_rules_that_nothing_uses_any_more_are_removed(
    bench: Bench, engine: DockerContainerEngine, client: docker.DockerClient
) -> None:
    traces = LocalTraces(engine)
    network = StageNetwork(f"wt-{uuid.uuid4().hex[:8]}", labels={"wherry.test": "network"})
    rules = Trace(kind=TraceKind.RULES, id=network.name, name=f"STAGES-{network.name}")

    async def left() -> set[tuple[TraceKind, str]]:
        return {(found.kind, found.id) for found in await traces.list_traces([])}

    async def check() -> None:
        async with bench.started(bench.spec("echo ready; sleep 1000")) as (container, pieces):
            await anext(pieces)
            [name] = client.api.inspect_container(container)["Name"].split("/")[1:]
            account = Trace(kind=TraceKind.ACCOUNT, id=f"/docker/{name}", name=name)
            network.ensure(client.api)
            assert not {(rules.kind, rules.id), (account.kind, account.id)} & await left()
            # As somebody does who cleans up by hand.
            client.api.remove_container(container, force=True)
            client.api.remove_network(network.name)
            assert {(rules.kind, rules.id), (account.kind, account.id)} <= await left()
            await traces.remove_trace(rules)
            await traces.remove_trace(account)
            assert not {(rules.kind, rules.id), (account.kind, account.id)} & await left()

    try:
        asyncio.run(check())
    finally:
        network.remove(client.api)


def test_a_folder_that_was_never_a_services_is_not_touched(
    engine: DockerContainerEngine, tmp_path: Path
) -> None:
    leave_files(tmp_path)
    found = asyncio.run(LocalTraces(engine).list_traces([str(tmp_path)]))
    assert [trace for trace in found if trace.home] == []


def test_a_home_is_at_work_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    assert not is_at_work(tmp_path / "none")
    assert is_at_work(tmp_path)  # somebody who holds no lock: it cannot be told
    with hold_home(tmp_path), hold_home(tmp_path):
        assert is_at_work(tmp_path)
    assert not is_at_work(tmp_path)
