"""What a container used is counted, to its end, and its account goes with it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.engine_fixtures import Bench, bench, engine
from wherry.service.adapters.cgroup_usage import CgroupAccounts, usage_of_sample
from wherry.service.domain.usage import Usage

__all__ = ["bench", "engine"]

MIB = 1024**2

# Holds 100 MiB for a moment, computes for a good half second, and is gone.
BUSY = "x = bytearray(100 << 20); del x\nimport time\nwhile time.process_time() < 0.6: pass"


def test_the_peak_of_a_short_stage_is_known_after_its_end_or_while_it_runs(bench: Bench) -> None:
    async def used(program: str) -> Usage:
        spec = replace(bench.spec(""), argv=("python3", "-c", program))
        async with bench.started(spec) as (container, pieces):
            seen = Usage()
            async for _ in pieces:
                seen = seen.later(await bench.engine.usage(container))
                (bench.workspace / "looked").touch()
            await bench.engine.wait(container)
            return seen.later(await bench.engine.usage(container))

    until_looked = "import os\nwhile not os.path.exists('looked'): time.sleep(0.05)"
    usage = asyncio.run(used(f"{BUSY}\nprint('look', flush=True)\n{until_looked}"))

    assert usage.cpu_s is not None
    assert 0.5 < usage.cpu_s < 30
    assert usage.peak_memory_bytes is not None
    assert 100 * MIB < usage.peak_memory_bytes < 200 * MIB


def test_content_of_files_is_not_memory_of_the_stage(bench: Bench) -> None:
    program = "f = open('big', 'wb')\nfor _ in range(11): f.write(b'x' * (20 << 20))\n"

    async def used() -> Usage:
        spec = replace(bench.spec(""), argv=("python3", "-c", program))
        async with bench.started(spec) as (container, pieces):
            async for _ in pieces:
                pass
            await bench.engine.wait(container)
            return await bench.engine.usage(container)

    usage = asyncio.run(used())

    # Where only a running container can be looked at there is nothing to be seen any more.
    assert usage.peak_memory_bytes is None or usage.peak_memory_bytes < 120 * MIB


def test_no_account_is_left_of_a_container(bench: Bench) -> None:
    client = docker.APIClient()
    accounts = CgroupAccounts.of(client.info())
    spec = bench.spec("true")
    asyncio.run(bench.run(spec))
    client.close()

    left = [] if accounts is None else list(Path("/sys/fs/cgroup").glob(f"*/docker/{spec.name}"))
    assert left == []


@pytest.mark.parametrize("is_unified", [True, False])
def test_an_account_that_is_bound_is_in_use_until_it_is_released(tmp_path: Path, *, is_unified: bool) -> None:
    trees = ["."] if is_unified else ["memory", "pids"]
    for tree in trees:
        (tmp_path / tree / "docker").mkdir(parents=True)
    accounts = CgroupAccounts(tmp_path, unified=is_unified)
    parent = accounts.parent("wherry-build-1")

    bound = accounts.bound_processes(parent, 7)
    # As between two steps of a build: the engine has made all of it, and nothing runs there.
    (tmp_path / trees[0] / "docker" / "wherry-build-1").mkdir(exist_ok=True)

    assert bound is not None
    limit = tmp_path / trees[-1] / "docker" / "wherry-build-1" / "pids.max"
    assert limit.read_text() == "7"
    assert accounts.list_unused() == []
    assert not accounts.close(parent)
    bound.release()
    assert accounts.list_unused() == [parent]
    limit.unlink()  # of the kernel's folders this is no part
    assert accounts.close(parent)
    assert accounts.list_unused() == []


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    """A tree of version 2, as the kernel shows it."""
    folder = tmp_path / "docker" / "wherry-1"
    folder.mkdir(parents=True)
    contents = {
        "memory.peak": "300000000\n",
        "memory.current": "120000000\n",
        "memory.stat": "anon 10000000\nfile 110000000\nshmem 10000000\nfile_mapped 3\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
        "io.stat": "8:0 rbytes=100 wbytes=2000 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=11 wbytes=0 rios=1 wios=0\n",
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return tmp_path


def test_accounts_of_version_2_are_read(unified: Path) -> None:
    accounts = CgroupAccounts.of({"CgroupVersion": "2", "CgroupDriver": "cgroupfs"}, unified)
    assert accounts is not None

    assert accounts.read(accounts.parent("wherry-1")) == Usage(
        peak_memory_bytes=200_000_000, cpu_s=2.5, read_bytes=111, written_bytes=2000
    )


def test_what_is_not_counted_is_not_zero(unified: Path) -> None:
    accounts = CgroupAccounts(unified, unified=True)

    assert accounts.read("/docker/gone") == Usage()


@pytest.mark.parametrize(
    "info",
    [
        {"CgroupVersion": "2", "CgroupDriver": "systemd"},
        {"CgroupVersion": "2", "CgroupDriver": "none"},
        {"CgroupVersion": "1", "CgroupDriver": "cgroupfs"},
    ],
)
def test_an_engine_whose_accounts_are_elsewhere_is_asked_itself(unified: Path, info: dict[str, str]) -> None:
    assert CgroupAccounts.of(info, unified) is None


def test_the_answer_of_an_engine_is_read() -> None:
    sample = {
        "memory_stats": {"usage": 90, "stats": {"file": 50, "shmem": 10}},
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"major": 8, "minor": 0, "op": "read", "value": 7},
                {"major": 8, "minor": 0, "op": "write", "value": 9},
            ]
        },
    }

    assert usage_of_sample(sample) == Usage(peak_memory_bytes=50, cpu_s=1.5, read_bytes=7, written_bytes=9)
    assert usage_of_sample({"memory_stats": {}, "cpu_stats": {"cpu_usage": {"total_usage": 0}}}) == Usage()
