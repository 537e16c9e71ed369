"""A stage that writes too much, in a real container on a real disk."""

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine_fixtures import Bench, bench, engine
from tests.workspace_fixtures import House, data, house
from wherry.service.adapters.clock_system import SystemClock
from wherry.service.adapters.folder_size import folder_bytes
from wherry.service.domain.errors import Unavailable
from wherry.service.ports.containers import ContainerSpec
from wherry.service.usecases.disk_limit import DiskLimit, DiskWatch

__all__ = ["bench", "engine", "house"]

MIB = 1024 * 1024


def run(bench: Bench, house: House, command: str, *, bytes_max: int) -> tuple[int, int | None]:
    """Exit code of a stage in the house's workspace, and the limit if it was stopped for it."""
    limit = DiskLimit(
        engine=bench.engine,
        workspaces=house.workspaces,
        clock=SystemClock(),
        free_bytes=lambda: 0,
        bytes_max=bytes_max,
        every_s=0.05,
    )

    async def check(spec: ContainerSpec) -> tuple[int, DiskWatch]:
        async with (
            bench.started(spec) as (container, pieces),
            limit.watched(container, house.root / "a1") as watch,
        ):
            async for _ in pieces:
                pass
            return (await bench.engine.wait(container)).code, watch

    spec = bench.spec(command)
    code, watch = asyncio.run(check(replace(spec, workspace=house.root / "a1")))
    return code, watch.exceeded_bytes


@pytest.mark.parametrize(
    "fill",
    [
        "head -c 100M /dev/zero >big; sleep 1000",
        "mkdir -p deep/er; i=0; while :; do i=$((i+1)); head -c 1M /dev/zero >deep/er/$i; done",
        "mkdir .hidden; chmod 700 .hidden; cd .hidden; head -c 100M /dev/zero >x; chmod 0 x; sleep 1000",
    ],
)
def test_a_stage_that_fills_the_disk_is_stopped(bench: Bench, house: House, fill: str) -> None:
    house.lay_out(data=[data("in", house.keep(b"x" * 3 * MIB))])
    assert run(bench, house, fill, bytes_max=40 * MIB) == (137, 40 * MIB)


def test_what_was_laid_out_sparse_files_and_links_do_not_count(bench: Bench, house: House) -> None:
    house.lay_out(data=[data("in", house.keep(os.urandom(30 * MIB)))])
    command = (
        "truncate -s 100G sparse; head -c 5M /dev/zero >a; for i in 1 2 3 4 5 6; do ln a b$i; done; sleep 0.5"
    )
    assert run(bench, house, command, bytes_max=20 * MIB) == (0, None)


def test_a_folder_deeper_than_any_path_is_measured(tmp_path: Path) -> None:
    script = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\nopen('x', 'wb').write(b'x' * 9000000)"
    subprocess.run(["python3", "-c", script], cwd=tmp_path, check=True)
    assert folder_bytes(tmp_path) > 9_000_000
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
    with pytest.raises(Unavailable, match="measured"):
        folder_bytes(tmp_path / "none")
