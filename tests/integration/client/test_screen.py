"""What is on the screen while a run is watched: the program in a real terminal of the kernel, read by a terminal's emulation."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.client.conftest import WHERRY
from tests.integration.client.fake_service import FakeService
from tests.integration.client.screens import Screen, in_terminal
from wherry.v1 import runs_pb2

Start = Callable[..., Screen]


@pytest.fixture
def start(project: Path, service: FakeService, environment: dict[str, str]) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(*arguments: str, columns: int = 80, lines: int = 24, **extra: str) -> Screen:
            kept = {
                key: value
                for key, value in environment.items()
                if key not in {"CI", "GITHUB_ACTIONS", "GITLAB_CI"}
            }
            opened = in_terminal(
                [WHERRY, *arguments],
                folder=project,
                environment={**kept, "WHERRY_SERVER": service.address, **extra},
                columns=columns,
                lines=lines,
            )
            return stack.enter_context(opened)

        yield begin


def _stages(service: FakeService, count: int) -> None:
    for number in range(count):
        service.script.run.stages.add(name=f"train@{number:03}", state=runs_pb2.STATE_QUEUED)


def _hit(name: str) -> runs_pb2.StageRecord:
    return runs_pb2.StageRecord(
        name=name,
        state=runs_pb2.STATE_SUCCEEDED,
        cache=runs_pb2.CACHE_USE_HIT,
        from_run="37",
        from_user="bob",
        wall_s=192,
    )


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("colour", ["never", "always"])
def test_each_stage_has_a_line_that_stays_in_place(
    start: Start, service: FakeService, columns: int, colour: str
) -> None:
    script = service.script
    for name in ("prepare", "train", "evaluate"):
        script.run.stages.add(name=name, state=runs_pb2.STATE_QUEUED)
    script.events = [_hit("prepare"), runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_RUNNING)]
    script.lines = [("train", f"epoch {number} 日本語 {'x' * 300}".encode()) for number in range(8)]
    script.never_ends = True
    screen = start("repro", "--color", colour, columns=columns)

    def is_drawn() -> bool:
        # Lines and states come on streams of their own.
        marks = ("epoch 7", "cached from run 37", "train     running ", "1 of 3 done")
        return all(any(mark in line for line in screen.text()) for mark in marks) and (
            "Ctrl-C detaches" in screen.text()[-1]
        )

    screen.until(is_drawn)
    shown = screen.text()
    assert "prepare   cached from run 37 by bob, saved 3m12s" in shown
    assert any(line.startswith("train     running ") for line in shown)
    assert "evaluate  waiting" in shown
    assert any(line.startswith("Run 42 brave-otter · 1 of 3 done") for line in shown)
    # Long lines are cut, not broken: each line of output is one of the screen, the last ones only.
    output = [line for line in shown if "| epoch" in line]
    assert [line.split("epoch ")[1][0] for line in output] == ["3", "4", "5", "6", "7"]
    assert all(line.endswith("…") for line in output)
    assert (b"\x1b[36mcached" in screen.raw) == (colour == "always")
    # Ctrl-C leaves the screen as it is, the cursor seen, and says how to come back.
    screen.type(b"\x03")
    assert screen.end() == 0
    assert any(
        line.startswith("Detached; run 42 goes on. `wherry attach 42` comes back") for line in screen.text()
    )
    assert screen.raw.rindex(b"\x1b[?25h") > screen.raw.rindex(b"\x1b[?25l")


def test_more_stages_than_lines_are_folded_and_a_smaller_terminal_shows_less(
    start: Start, service: FakeService
) -> None:
    _stages(service, 500)
    script = service.script
    script.events = [
        *(_hit(f"train@{number:03}") for number in range(300)),
        runs_pb2.StageRecord(name="train@300", state=runs_pb2.STATE_FAILED, reason="exited with 3"),
        *(
            runs_pb2.StageRecord(name=f"train@{number}", state=runs_pb2.STATE_RUNNING)
            for number in range(301, 304)
        ),
    ]
    script.lines = [("train@302", b"epoch 5")]
    script.never_ends = True
    screen = start("repro", lines=20)
    folded = "… and more of 500 stages: 300 cached, 1 failed, 3 running, 196 waiting"

    def going() -> list[str]:
        return [line for line in screen.text() if "running" in line and line.startswith("train@")]

    # Of those that are going their output is shown, however many have ended.
    screen.until(
        lambda: (
            folded in screen.text()
            and len(going()) == 3
            and any("| epoch 5" in line for line in screen.text())
            and any("cached" in line for line in screen.text())
            and any(line.startswith("train@300  failed: exited with 3") for line in screen.text())
            and len(screen.text()) <= 20
        )
    )
    screen.resize(60, 10)
    screen.until(lambda: len(screen.text()) <= 10 and any("of 500 stages" in line for line in screen.text()))
    screen.until(lambda: len(going()) == 3)


def test_at_the_end_generated_stages_are_told_in_one_line(start: Start, service: FakeService) -> None:
    _stages(service, 500)
    script = service.script
    script.events = [_hit(stage.name) for stage in script.run.stages]
    script.run.state = runs_pb2.STATE_SUCCEEDED
    for stage, event in zip(script.run.stages, script.events, strict=True):
        assert isinstance(event, runs_pb2.StageRecord)
        stage.CopyFrom(event)
    screen = start("repro")
    assert screen.end() == 0
    assert "train@*    500 cached" in screen.text()
    assert len(screen.text()) < 10


def test_with_plain_progress_a_terminal_gets_lines_like_any_log(start: Start, service: FakeService) -> None:
    script = service.script
    script.run.stages.add(name="train")
    script.events = [runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_RUNNING)]
    script.lines = [("train", b"epoch 1")]
    script.run.state = runs_pb2.STATE_SUCCEEDED
    screen = start("--progress", "plain", "repro")
    assert screen.end() == 0
    assert "train  | epoch 1" in screen.text()
    assert b"\x1b[?25l" not in screen.raw
