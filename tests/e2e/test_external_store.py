"""A service that is given a bucket, or a database, instead of bringing its own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Service, new_project, states
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.objects_s3 import S3ObjectStore

STAGE = {"dvc.yaml": "stages:\n  one: {cmd: cp a b, deps: [a], outs: [b]}\n", "a": "elsewhere\n"}


@pytest.fixture
def with_bucket(tmp_path: Path, s3_settings: S3Settings) -> Iterator[Service]:
    home = tmp_path / "home"
    home.mkdir()
    given = {
        "BUCKET": s3_settings.bucket,
        "PREFIX": s3_settings.prefix,
        "ENDPOINT": s3_settings.endpoint_url or "",
        "ACCESS_KEY": s3_settings.access_key or "",
        "SECRET_KEY": s3_settings.secret_key or "",
    }
    service = Service(home, {f"WHERRY_S3_{name}": value for name, value in given.items()})
    service.wherry("up", cwd=home).expect(0)
    yield service
    service.wherry("down", cwd=home).expect(0)


def test_outputs_are_in_the_bucket_that_was_given(
    with_bucket: Service, object_store: S3ObjectStore, tmp_path: Path
) -> None:
    project = new_project(tmp_path / "project", with_bucket, STAGE)

    first = project.repro()
    remote = project.wherry("dvc-remote", "--json").expect(0).json()
    kept = asyncio.run(object_store.list_keys(""))

    made = first["stages"][0]["outs"][0]["md5"]
    assert states(first) == {"one": ("succeeded", "miss")}
    assert f"files/md5/{made[:2]}/{made[2:]}" in kept
    assert [key for key in kept if key.startswith("runs/")]
    assert remote["url"].startswith("s3://wherry-tests/")
    assert not (with_bucket.home / "s3").exists(), "no store of its own"


def test_runs_are_kept_in_postgresql_when_that_is_given(tmp_path: Path, postgres_url: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    service = Service(home, {"WHERRY_DATABASE_URL": postgres_url})
    service.wherry("up", cwd=home).expect(0)
    try:
        project = new_project(tmp_path / "project", service, STAGE)
        first, second = project.repro(), project.repro()
    finally:
        service.wherry("down", cwd=home).expect(0)

    assert states(first) == {"one": ("succeeded", "miss")}
    assert states(second) == {"one": ("succeeded", "hit")}
    assert not (home / "wherry.db").exists()


def test_a_store_that_does_not_answer_keeps_the_service_from_starting(
    tmp_path: Path, unused_port: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "WHERRY_S3_BUCKET": "nowhere",
        "WHERRY_S3_ENDPOINT": f"http://127.0.0.1:{unused_port}",
        "WHERRY_S3_ACCESS_KEY": "key",
        "WHERRY_S3_SECRET_KEY": "not-to-be-shown",
    }

    done = Service(home, settings).wherry("up", cwd=home)

    assert done.code != 0
    assert str(unused_port) in done.err
    assert "not-to-be-shown" not in done.err + (home / "service.log").read_text()
    assert not (home / "service.json").exists()
