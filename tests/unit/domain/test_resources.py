"""What a stage asks of a machine, and how it is told that there is not so much."""

import pytest

from wherry.service.domain.critical_path import path_seconds
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.resources import (
    Demand,
    Machine,
    allotted,
    demand_of,
    find_excess,
    size_text,
    thread_limits,
)
from wherry.service.domain.setting_values import ALL_GPUS
from wherry.service.domain.settings import StageSettings

GIB = 1024**3
THERE = Machine(cpus=4, memory_bytes=8 * GIB, gpus=2)


@pytest.mark.parametrize(
    ("settings", "machine", "excess"),
    [
        (StageSettings(cpus=4, memory_bytes=8 * GIB, gpus=2), THERE, None),
        (StageSettings(cpus=4.5), THERE, "asks for 4.5 cpus, and a stage can have 4 cpus at most"),
        (
            StageSettings(memory_bytes=9 * GIB),
            THERE,
            "asks for 9 GiB of memory, and a stage can have 8 GiB at most",
        ),
        (StageSettings(gpus=3), THERE, "asks for 3 GPUs, and the service's machine has 2"),
        (
            StageSettings(gpus=ALL_GPUS),
            Machine(cpus=1, memory_bytes=GIB),
            "asks for 1 GPU, and the service's machine offers none to containers",
        ),
        (StageSettings(gpus=0), Machine(cpus=1, memory_bytes=GIB), None),
        (StageSettings(), Machine(cpus=0.5, memory_bytes=GIB), None),
    ],
)
def test_more_than_there_is_is_named_with_what_there_is(
    settings: StageSettings, machine: Machine, excess: str | None
) -> None:
    assert find_excess(settings, machine) == excess


def test_who_lets_many_stages_run_at_once_gives_no_stage_more_processors_than_there_are() -> None:
    machine = allotted(THERE, at_once=16, cpus=None, memory_bytes=None, gpus=None)

    assert (machine.cpus, machine.cpus_most) == (16, 4)


def test_an_operator_gives_stages_less_than_there_is() -> None:
    machine = allotted(THERE, at_once=16, cpus=2.5, memory_bytes=GIB, gpus=0)

    assert (machine.cpus, machine.cpus_most, machine.memory_bytes, machine.gpus) == (2.5, 2.5, GIB, 0)


def test_all_gpus_are_those_of_the_machine() -> None:
    assert demand_of(StageSettings(gpus=ALL_GPUS), THERE) == Demand(gpus=2)


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, "1"), (2.9, "2"), (8, "8")])
def test_libraries_start_as_many_threads_as_there_are_whole_processors(cpus: float, threads: str) -> None:
    assert set(thread_limits(cpus).values()) == {threads}
    assert {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} <= thread_limits(cpus).keys()


def test_without_declared_processors_nothing_is_said_of_threads() -> None:
    assert thread_limits(None) == {}


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (512, "512 bytes"),
        (512 * 1024**2, "512 MiB"),
        (1000 * 1024**2, "1000 MiB"),
        (int(1.5 * GIB), "1.5 GiB"),
    ],
)
def test_sizes_are_written_in_the_units_of_settings(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_the_longest_way_goes_on_from_a_stage_and_unknown_stages_count_as_the_known_ones_do() -> None:
    stages = (
        "stages:\n"
        "  first: {cmd: x, outs: [a]}\n"
        "  slow: {cmd: x, deps: [a], outs: [b]}\n"
        "  quick: {cmd: x, deps: [a], outs: [c]}\n"
        "  last: {cmd: x, deps: [b, c]}\n"
        "  apart: {cmd: x}\n"
    )
    pipeline = build_pipeline(parse_pipeline_file(stages.encode(), ProjectPath("dvc.yaml")), [])
    names = [StageName(name) for name in ("first", "slow", "quick", "last", "apart")]

    assert path_seconds(pipeline, names, {StageName("slow"): 9.0, StageName("quick"): 3.0}) == {
        "first": 21.0,
        "slow": 15.0,
        "quick": 9.0,
        "last": 6.0,
        "apart": 6.0,
    }
    assert path_seconds(pipeline, names[:2], {}) == {"first": 2.0, "slow": 1.0}
