"""What a job in CI is told, where text from strangers must not become commands or markup."""

import sys

import pytest

from wherry.client.cli.ci_log import CiFollower, Kind, annotations, ci_kind
from wherry.client.cli.settings import Settings
from wherry.client.cli.terminal import Terminal
from wherry.client.report import Section, report_text
from wherry.client.stage_names import StageNames
from wherry.client.watching import Event, Output, StageChanged
from wherry.v1 import runs_pb2
from wherry.v1.pipelines_pb2 import Pipeline


def _failed(name: str = "train", reason: str = "exited with 3") -> runs_pb2.StageRecord:
    return runs_pb2.StageRecord(name=name, state=runs_pb2.STATE_FAILED, reason=reason)


def test_whose_job_it_is_is_what_the_environment_says() -> None:
    assert ci_kind({"GITHUB_ACTIONS": "true"}) == "github"
    assert ci_kind({"GITLAB_CI": "true"}) == "gitlab"
    assert ci_kind({"CI": "true"}) == ""


def _followed(
    kind: Kind, capsys: pytest.CaptureFixture[str], *lines: bytes, end: runs_pb2.StageRecord
) -> str:
    follower = CiFollower(Terminal(Settings()), runs_pb2.Run(id="7"), StageNames(), kind)
    events: list[Event] = [
        StageChanged(runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_RUNNING)),
        *(Output(runs_pb2.LogLine(stage="train", text=line)) for line in lines),
        StageChanged(end),
    ]
    follower.follow(events)
    said = capsys.readouterr()
    assert not said.out
    return said.err


def test_in_github_output_is_folded_and_gives_no_commands(capsys: pytest.CaptureFixture[str]) -> None:
    done = runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_SUCCEEDED, wall_s=2)
    lines = _followed("github", capsys, b"::set-output name=x::y", b"\x1b[2Jfine", end=done).splitlines()
    assert lines[0] == "train  running"
    assert lines[1] == "::group::train  succeeded in 2.0 s"
    word = lines[2].removeprefix("::stop-commands::")
    assert len(word) == 32
    assert lines[3:] == ["::set-output name=x::y", "fine", f"::{word}::", "::endgroup::"]
    # What failed is not folded away, and its output is as harmless.
    lines = _followed("github", capsys, b"::error::mine", end=_failed()).splitlines()
    assert "::group::" not in "".join(lines)
    assert lines[2].startswith("::stop-commands::")
    assert lines[-1] == f"::{lines[2].removeprefix('::stop-commands::')}::"


def test_in_gitlab_output_is_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    done = runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_SUCCEEDED)
    said = _followed("gitlab", capsys, b"\x1b[0Ksection_end:1:wherry", end=done)
    begin = said.index("section_start:")
    assert "[collapsed=true]\r\x1b[0Ktrain  succeeded" in said[begin:]
    # The stage cannot end the section that it is in.
    assert said.count("\x1b[0Ksection_end:") == 1


def test_failed_stages_are_annotated_at_their_line_of_dvc_yaml() -> None:
    run = runs_pb2.Run(
        stages=[_failed(), _failed("a,b:c", "50%\n::error::no"), runs_pb2.StageRecord(name="ok")]
    )
    places = {"train": ("ml/dvc.yaml", 12)}
    assert list(annotations(run, places)) == [
        "::error file=ml/dvc.yaml,line=12,title=stage train::failed: exited with 3",
        "::error file=dvc.yaml,title=stage a%2Cb%3Ac::failed: 50%25::error::no",
    ]


def test_the_report_has_what_failed_first_and_no_markup_of_strangers() -> None:
    run = runs_pb2.Run(
        id="7", name="brave-otter", state=runs_pb2.STATE_FAILED, saved_s=192, rev="0123456789abcdef"
    )
    run.stages.add(
        name="prepare",
        state=runs_pb2.STATE_SUCCEEDED,
        cache=runs_pb2.CACHE_USE_HIT,
        from_run="3",
        from_user="bob",
        wall_s=192,
    )
    run.stages.append(_failed(reason="<img src=x> | @everybody\n# big `code`"))
    pipeline = Pipeline()
    pipeline.stages.add(name="prepare")
    section = Section(
        title="Metrics", header=("Path", "Metric"), rows=[("m|.json", "a<b")], empty="No change."
    )
    text = report_text(run, sections=[section], pipeline=pipeline)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [
        "| `train` | ❌ failed |  | &lt;img src=x> \\| @\u200beverybody # big 'code' |",
        "| `prepare` | ✅ succeeded | 3m12s | from run 3 by bob |",
    ]
    assert "**3m12s saved.** Commit `0123456789ab`." in text
    assert "| m\\|.json | a&lt;b |" in text
    assert "```mermaid" in text
    assert sys.getsizeof(text) < 4_000
