"""One embedded service for all end-to-end tests: each test has a project and inputs of its own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.e2e.harness import Metadata, Project, Service, new_project


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("wherry-home")
    running = Service(home)
    running.wherry("up", cwd=home).expect(0)
    yield running
    running.wherry("down", cwd=home).expect(0)
    assert not (home / "service.json").exists()


@pytest.fixture
def make_project(tmp_path: Path, service: Service) -> Callable[[dict[str, str]], Project]:
    def make(files: dict[str, str]) -> Project:
        return new_project(tmp_path / "project", service, files)

    return make


@pytest.fixture(scope="session")
def channel(service: Service) -> Iterator[grpc.Channel]:
    facts = json.loads((service.home / "service.json").read_text())
    """A connection to the service."""
    with grpc.insecure_channel(facts["address"].removeprefix("grpc://")) as opened:
        yield opened


@pytest.fixture(scope="session")
def token(service: Service) -> Metadata:
    """What calls must carry."""
    return (("authorization", f"Bearer {(service.home / 'token').read_text().strip()}"),)
