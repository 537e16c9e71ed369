"""`wherry cache fsck` and `wherry doctor`, as users run them."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Project, Service, states
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.objects_s3 import S3ObjectStore

PIPELINE = """stages:
  make: {cmd: 'mkdir -p folder; for n in 1 2 3; do echo "$(cat seed) $n" >folder/$n; done', deps: [seed], outs: [folder]}
  use: {cmd: cat folder/* >sum, deps: [folder], outs: [sum]}
"""


def store_of(project: Project) -> S3ObjectStore:
    remote = project.wherry("dvc-remote", "--json").expect(0).json()
    return S3ObjectStore.connect(
        S3Settings(
            bucket=remote["url"].removeprefix("s3://"),
            endpoint_url=remote["endpointurl"],
            access_key=remote["access_key_id"],
            secret_key=remote["secret_access_key"],
        )
    )


def test_a_damaged_object_is_found_and_its_producer_runs_again(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    project = make_project({"dvc.yaml": PIPELINE, "seed": "to be damaged\n"})
    made = project.repro()
    folder = made["stages"][0]["outs"][0]["md5"]
    store = store_of(project)
    key = f"files/md5/{folder[:2]}/{folder[2:]}"
    asyncio.run(store.put(key, b"rotten"))

    found = project.wherry("cache", "fsck", "--full", "--json").expect(1).json()
    again = project.repro()
    text = project.wherry("cache", "fsck", "--full").expect(0).out
    healed = asyncio.run(store.get(key))
    asyncio.run(store.close())

    assert found["schema"] == "wherry.fsck/1"
    assert [(fault["hash"], fault["kind"]) for fault in found["faults"]] == [(folder, "damaged")]
    assert found["checked"] == found["total"] > 4
    assert states(again) == {"make": ("succeeded", "miss"), "use": ("succeeded", "hit")}
    assert healed is not None
    assert b"relpath" in healed
    assert "all as their names say" in text


async def take_away(store: S3ObjectStore, project: Project, key: str) -> None:
    """Take a tree with its members, or all below a folder, from the bucket and from the node."""
    keys = await store.list_keys(key)
    if not key.endswith("/"):
        listed = json.loads(await store.get(key) or b"[]")
        keys += [f"files/md5/{entry['md5'][:2]}/{entry['md5'][2:]}" for entry in listed]
    for gone in dict.fromkeys(keys):
        await store.delete(gone)
        (project.service.home / "node" / gone).unlink(missing_ok=True)


def test_a_pull_of_what_has_gone_says_what_brings_it_back(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    project = make_project({"dvc.yaml": PIPELINE, "seed": "to be pulled\n"})
    folder = project.repro()["stages"][0]["outs"][0]["md5"]
    store = store_of(project)
    asyncio.run(take_away(store, project, f"files/md5/{folder[:2]}/{folder[2:]}"))
    asyncio.run(store.close())

    refused = project.wherry("pull", "folder")

    assert refused.code != 0
    assert f"the store does not hold {folder}" in refused.err
    assert "`wherry repro` has its stage make it again" in refused.err
    deadline = time.monotonic() + 60  # what is gone is forgotten in the background
    while states(project.repro())["make"] != ("succeeded", "miss"):
        assert time.monotonic() < deadline
    project.wherry("pull", "folder").expect(0)
    assert (project.root / "folder" / "3").read_text() == "to be pulled 3\n"


@pytest.mark.parametrize("all_of_it", [False, True], ids=["outputs", "everything"])
def test_what_has_gone_from_the_bucket_is_made_again_in_the_same_run(
    make_project: Callable[[dict[str, str]], Project], all_of_it: bool
) -> None:
    project = make_project({"dvc.yaml": PIPELINE, "seed": f"to go, all of it: {all_of_it}\n"})
    made = project.repro()
    folder = made["stages"][0]["outs"][0]["md5"]
    store = store_of(project)

    key = f"files/md5/{folder[:2]}/{folder[2:]}"
    asyncio.run(take_away(store, project, "files/md5/" if all_of_it else key))
    project.write({"dvc.yaml": PIPELINE.replace("cat folder/*", "cat folder/1 folder/2")})
    again = project.repro()
    back = asyncio.run(store.get(key))
    asyncio.run(store.close())
    log = project.wherry("logs", again["id"]).expect(0).out
    # Other tests use the same store: what they put there is forgotten too.
    project.wherry("cache", "fsck", "--full")

    assert states(again) == {"make": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    assert back is not None
    assert "the store no longer has folder: 'make' runs again" in log
    project.wherry("pull").expect(0)
    assert (project.root / "folder" / "3").exists()


def test_a_sample_is_checked_unless_all_is_asked_for(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    project = make_project({"dvc.yaml": PIPELINE, "seed": "sampled\n"})
    project.repro()
    assert project.wherry("cache", "fsck", "--sample", "2", "--json").expect(0).json()["checked"] == 2
    assert "exclude" in project.wherry("cache", "fsck", "--sample", "2", "--full").expect(254).err


def by_name(document: Any) -> dict[str, str]:
    return {check["name"]: check["state"] for check in document["checks"]}


def test_doctor_finds_an_embedded_service_in_order(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    project = make_project({"dvc.yaml": PIPELINE, "seed": "x\n"})
    document = project.wherry("doctor", "--json").expect(0).json()
    assert (document["schema"], document["ok"]) == ("wherry.doctor/1", True)
    found = by_name(document)
    assert {"git", "service", "version", "clock", "project", "engine", "disk", "store.put"} <= found.keys()
    assert found["store.signed_md5"] == found["engine"] == found["clock"] == "ok"
    assert "the Docker engine answers" in project.wherry("doctor").expect(0).out


def test_doctor_says_that_nobody_answers(tmp_path: Path, service: Service, unused_port: int) -> None:
    done = service.wherry("doctor", "--json", "--server", f"grpc://127.0.0.1:{unused_port}", cwd=tmp_path)
    found = done.expect(69).json()
    assert by_name(found)["service"] == "failed"
    assert found["ok"] is False


def test_a_run_outlives_the_death_of_the_embedded_store(
    make_project: Callable[[dict[str, str]], Project], service: Service
) -> None:
    wait = "for i in $(seq 100); do test -e /tmp/none; sleep 0.02; done"
    project = make_project(
        {
            "dvc.yaml": f"stages:\n  slow: {{cmd: '{wait}; cp seed out', deps: [seed], outs: [out]}}\n",
            "seed": "outlives\n",
        }
    )
    run = project.wherry("repro", "--detach", "--json").expect(0).json()
    os.kill(int((service.home / "s3" / "weed.pid").read_text()), signal.SIGKILL)
    project.wherry("wait", run["id"]).expect(0)
    assert states(project.wherry("show", run["id"], "--json").expect(0).json()) == {
        "slow": ("succeeded", "miss")
    }
    project.wherry("apply", run["id"]).expect(0)
