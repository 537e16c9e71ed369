"""What names of images stand for, with a real engine and a registry on loopback."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine_fixtures import IMAGE
from tests.registry import Registry, forget_images, running_registry
from wherry.service.adapters.engine_client import EngineClient
from wherry.service.adapters.image_store_docker import DockerImageStore
from wherry.service.domain.errors import EngineUnavailable, ImageNotFound
from wherry.service.domain.images.image import Image, PullPolicy


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running_registry() as registry:
        yield registry
    forget_images(registry)


@pytest.fixture
def client() -> Iterator[EngineClient]:
    client = EngineClient()
    yield client
    client.close()


@pytest.fixture
def store(client: EngineClient) -> DockerImageStore:
    return DockerImageStore(client)


def ask(store: DockerImageStore, name: str, policy: PullPolicy = PullPolicy.ALWAYS) -> Image:
    return asyncio.run(store.resolve(name, policy))


def pull(store: DockerImageStore, image: Image) -> list[str]:
    said: list[str] = []

    async def tell(lines: Sequence[bytes]) -> None:
        said.extend(line.decode() for line in lines)

    asyncio.run(store.pull(image, tell))
    return said


def holds(store: DockerImageStore, image: Image) -> bool:
    return asyncio.run(store.holds(image.digest))


def some_files() -> dict[str, bytes]:
    return {"etc/word": uuid.uuid4().bytes}


def test_a_tag_is_resolved_to_the_registrys_digest_and_nothing_is_fetched(
    registry: Registry, store: DockerImageStore
) -> None:
    digest = registry.put("team/base:1", some_files())
    name = f"{registry.host}/team/base:1"
    image = ask(store, name)
    assert (image.name, image.digest) == (name, f"{registry.host}/team/base@{digest}")
    assert image.platform.startswith("linux/")
    assert not holds(store, image)


def test_a_pulled_image_answers_to_its_digest_and_its_name(
    registry: Registry, store: DockerImageStore
) -> None:
    registry.put("team/base:1", some_files())
    image = ask(store, f"{registry.host}/team/base:1")
    said = pull(store, image)
    assert said == [f"pulling {image.name}", f"pulled {image.digest}"]
    assert holds(store, image)
    for policy in PullPolicy:
        assert ask(store, image.name, policy).digest == image.digest
    assert ask(store, image.digest, PullPolicy.NEVER).digest == image.digest


def test_a_moved_tag_is_another_image_to_whoever_asks(registry: Registry, store: DockerImageStore) -> None:
    registry.put("team/base:1", some_files())
    name = f"{registry.host}/team/base:1"
    before = ask(store, name)
    pull(store, before)
    registry.put("team/base:1", some_files())
    assert ask(store, name).digest != before.digest
    assert ask(store, name, PullPolicy.MISSING).digest == before.digest


def test_a_registry_that_does_not_answer_is_replaced_by_what_is_there(
    registry: Registry, store: DockerImageStore
) -> None:
    registry.put("team/base:1", some_files())
    name = f"{registry.host}/team/base:1"
    before = ask(store, name)
    pull(store, before)
    registry.answers = False
    image = ask(store, name)
    assert image.digest == before.digest
    assert "the registry was asked in vain" in image.warning
    with pytest.raises(ImageNotFound, match="cannot be pulled"):
        ask(store, f"{registry.host}/team/other:1")
    with pytest.raises(EngineUnavailable, match="cannot be pulled"):
        pull(
            store,
            Image(name=f"{registry.host}/a:1", digest=f"{registry.host}/a@sha256:{'0' * 64}", platform=""),
        )


def test_a_registry_that_lets_wait_is_left_alone_for_a_while(
    registry: Registry, client: EngineClient
) -> None:
    registry.put("team/base:1", some_files())
    name = f"{registry.host}/team/base:1"
    store = DockerImageStore(client, ask_s=0.2, slow_s=0.0)
    before = ask(DockerImageStore(client), name)
    pull(store, before)
    registry.goes_on.clear()
    asked = registry.asked
    first, second = ask(store, name), ask(store, name)
    assert "no answer" in first.warning
    assert "did not answer a moment ago" in second.warning
    assert first.digest == second.digest == before.digest
    # The engine may not have come to ask at all yet: it was given little time.
    assert registry.asked <= asked + 1


def test_credentials_are_the_services(registry: Registry, client: EngineClient, tmp_path: Path) -> None:
    registry.put("team/secret:1", some_files())
    registry.credentials = ("wherry", uuid.uuid4().hex)
    name = f"{registry.host}/team/secret:1"
    (tmp_path / "none").write_text("{}")
    with pytest.raises(ImageNotFound) as refused:
        ask(DockerImageStore(client, credentials=tmp_path / "none"), name)
    assert registry.credentials[1] not in refused.value.message
    store = DockerImageStore(client, credentials=registry.docker_config(tmp_path))
    image = ask(store, name)
    pull(store, image)
    assert holds(store, image)


def test_an_image_for_another_machine_is_refused(registry: Registry, store: DockerImageStore) -> None:
    registry.put("team/base:1", some_files(), architecture="s390x")
    with pytest.raises(ImageNotFound, match="linux/s390x, not for linux/"):
        ask(store, f"{registry.host}/team/base:1")


def test_an_image_made_on_the_engine_is_known_by_its_own_digest_and_never_asked_for(
    registry: Registry, store: DockerImageStore
) -> None:
    image = ask(store, IMAGE)
    assert image.name == IMAGE
    assert image.digest.startswith("sha256:")
    assert image.platform.startswith("linux/")
    assert ask(store, image.digest).digest == image.digest
    docker_client: Any = docker.from_env()
    name = f"{registry.host}/team/made:1"
    docker_client.images.get(IMAGE).tag(name)
    registry.put("team/made:1", some_files())
    assert ask(store, name).digest == image.digest
    docker_client.images.remove(name)
    docker_client.close()


@pytest.mark.parametrize("name", ["wherry.invalid/no/such:image", f"sha256:{'0' * 64}"])
def test_an_image_that_cannot_be_had_is_named(store: DockerImageStore, name: str) -> None:
    for policy in (PullPolicy.NEVER, PullPolicy.ALWAYS):
        with pytest.raises(ImageNotFound) as caught:
            ask(store, name, policy)
        assert name in caught.value.message
        assert "meta.wherry.image" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["", "Upper/Case", "a b", "a:b:c", "-flag", "../x", "x@sha256:1", "x" * 501, "a/../b", "a\n", "é"]
)
def test_a_malformed_image_name_never_reaches_the_engine(
    monkeypatch: pytest.MonkeyPatch, client: EngineClient, name: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(ImageNotFound, match="not the name of an image"):
        ask(DockerImageStore(client), name)
