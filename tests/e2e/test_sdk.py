"""The SDK on a real service: the examples of its page, sync and async alike, cancelling, and what a type checker says."""

import asyncio
import inspect
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import REPOSITORY, Project, Service, git, new_project
from wherry.client.async_client import AsyncClient, AsyncRunCache
from wherry.client.async_revisions import AsyncRevisions
from wherry.client.async_run import AsyncRun
from wherry.client.client import Client
from wherry.client.errors import Cancelled, RunFailed, TimeLimitPassed, Unknown
from wherry.client.results_cache import RunCache
from wherry.client.revisions import Revisions, Which
from wherry.client.run import Run
from wherry.client.selection import Selection
from wherry.client.watching import Output, RunChanged, StageChanged

_PAGE = (REPOSITORY / "docs" / "sdk.md").read_text()
_EXAMPLES = re.findall(r"^```python\n(.*?)^```$", _PAGE, re.DOTALL | re.MULTILINE)
_FILES = {
    "dvc.yaml": """
stages:
  prepare:
    cmd: echo preparing; cat source > data
    deps: [source]
    outs: [data]
  train:
    cmd: 'echo training; cp data model; echo "{\\"accuracy\\": 0.9}" > metrics.json'
    deps: [data]
    params: [lr]
    outs: [model]
    metrics: [metrics.json: {cache: false}]
  broken:
    cmd: echo '<b>broken</b>' >&2; exit 3
    deps: [source]
    outs: [never]
  slow:
    cmd: echo begun; sleep 600
    deps: [source]
    outs: [late]
""",
    "source": "a\n",
    "params.yaml": "lr: 1\n",
    "points.yaml": "point: 0\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    return new_project(tmp_path_factory.mktemp("sdk") / "project", service, _FILES)


@pytest.fixture
def client(project: Project) -> Iterator[Client]:
    with Client(folder=project.root, environ=project.service.environment()) as opened:
        yield opened


def in_loop(project: Project, work: Callable[[AsyncClient], Any]) -> Any:
    async def main() -> Any:
        environ = project.service.environment()
        async with AsyncClient(folder=project.root, environ=environ) as opened:
            return await work(opened)

    return asyncio.run(main())


def test_the_examples_of_the_page_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    for name, value in project.service.environment().items():
        monkeypatch.setenv(name, value)
    assert len(_EXAMPLES) == len(re.findall(r"^```python$", _PAGE, re.MULTILINE)) > 5
    names: dict[str, object] = {"__name__": "examples"}
    for example in _EXAMPLES:
        exec(compile(example, "docs/sdk.md", "exec"), names)
    said = capsys.readouterr().out
    assert "{'metrics.json': {'accuracy': 0.9}}\n{'params.yaml': {'lr': 1}}" in said
    assert "train stdout training" in said
    assert re.search(r"lr-[12] [34]$", said, re.MULTILINE)
    assert "RUN_UNKNOWN" in said
    assert re.search(r"run \d+ \(\S+\) ended as failed: .*broken", said)
    # Of the sweep over the loop, and the metrics of each.
    assert len(re.findall(r"succeeded \{'metrics.json': \{'accuracy': 0.9\}\}", said)) == 2
    assert (project.root / "model").read_text() == "a\n"


def test_a_run_shows_itself_in_a_notebook_and_nothing_it_says_is_markup(client: Client) -> None:
    run = client.submit(Selection(targets=("broken",))).wait()
    with pytest.raises(RunFailed) as failed:
        run.check()
    assert failed.value.hint.startswith(f"`wherry show {run.id}`")
    assert repr(run) == f"<Run {run.id} {run.name!r}: failed, 1 of 1 stages ended>"
    run.record.error.message = "<script>alert(1)</script>"
    shown = run._repr_html_()
    assert "<td>broken</td><td>failed</td>" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_runs_are_watched_and_stopped_without_threads(project: Project) -> None:
    async def work(client: AsyncClient) -> None:
        before = threading.active_count()
        runs = await client.sweep(Selection(targets=("slow",), set_params=("lr=1,2,3",), env={"A": "1"}))
        waits = [asyncio.create_task(run.wait()) for run in runs]
        seen: list[object] = []
        async for event in client.watch(runs[0].id):
            seen.append(event)
            if isinstance(event, Output) and event.line.text == b"begun":
                # Those who wait hold none; what there is belongs to the pool, and to gRPC.
                assert threading.active_count() - before <= 8 + 4
                with pytest.raises(TimeLimitPassed):
                    await runs[0].wait(timeout=0.2)
                for run in runs:
                    await run.stop()
        assert [run.state for run in await asyncio.gather(*waits)] == ["cancelled"] * 3
        assert any(isinstance(event, RunChanged) for event in seen)
        assert any(isinstance(event, StageChanged) for event in seen)
        assert [line.text async for line in runs[0].logs("slow")][-1:] != []

    in_loop(project, work)


def test_revisions_are_read_and_commits_submitted_from_a_loop(project: Project) -> None:
    project.write({"params.yaml": "lr: 1\n"})
    git(project.root, "tag", "-f", "before")
    project.write({"params.yaml": "lr: 7\n"})

    async def work(client: AsyncClient) -> None:
        revisions = client.revisions()
        seen, found = await asyncio.gather(
            revisions.gather(Which(names=["before"]), "params"), revisions.resolve("before")
        )
        assert {name: one["data"]["params.yaml"]["data"]["lr"] for name, one in seen.items()} == {
            "workspace": 7,
            "before": 1,
        }
        assert found.commit == git(project.root, "rev-parse", "before").strip()
        async with client.at_rev("before") as source:
            run = await source.submit(Selection(targets=("train",)))
            assert (await source.lint()).problems == []
        await run.wait()
        assert await run.params == {"params.yaml": {"lr": 1}}
        with pytest.raises(Unknown):
            async with client.at_rev("nowhere"):
                pass

    in_loop(project, work)
    assert len(git(project.root, "worktree", "list").splitlines()) == 1
    project.write({"params.yaml": "lr: 1\n"})


def test_fifty_points_compute_what_they_share_once(project: Project) -> None:
    """All at once, and waited for at once: of what does not depend on the point there is one execution."""
    project.write({"source": "of the fifty\n"})

    async def work(client: AsyncClient) -> list[tuple[str, dict[str, Any]]]:
        runs = await client.sweep(
            Selection(targets=("train",), set_params=("points.yaml:point=range(0,50)",))
        )
        ended = await asyncio.gather(*(run.wait() for run in runs))
        return [(run.state, dict(await run.stages)) for run in ended]

    ended = in_loop(project, work)
    assert [state for state, _ in ended] == ["succeeded"] * 50
    for name in ("prepare", "train"):
        assert [stages[name].cache for _, stages in ended].count("miss") == 1


def test_a_cancelled_task_leaves_nothing_behind(project: Project) -> None:
    """What it asks goes on as long as the run does; the calls are broken off, and no other is made."""

    async def work(client: AsyncClient) -> None:
        run = await client.submit(Selection(targets=("slow",)))
        ended: list[BaseException] = []

        def watch(blocking: Client) -> None:
            try:
                for _ in blocking.logs(run.id, follow=True):
                    begun.set()
            except BaseException as error:
                ended.append(error)
                raise
            blocking.run(run.id)

        begun = threading.Event()
        task = asyncio.create_task(client.ask(watch))
        await asyncio.to_thread(begun.wait, 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The thread had ended before the task did.
        assert [type(error) for error in ended] == [Cancelled]
        # The client is as good as before.
        assert (await (await run.stop()).wait()).state == "cancelled"

    in_loop(project, work)


def test_steps_of_a_long_answer_are_told_as_they_come(project: Project) -> None:
    async def work(client: AsyncClient) -> tuple[list[Any], list[Any]]:
        steps = [step async for step in client.check_blobs()]
        return steps, [step async for step in client.cache.collect(3600, dry=True)]

    checked, collected = in_loop(project, work)
    assert checked
    assert collected[-1].results == 0


@pytest.mark.parametrize(
    ("sync", "asynchronous"),
    [(Client, AsyncClient), (Run, AsyncRun), (RunCache, AsyncRunCache), (Revisions, AsyncRevisions)],
)
def test_both_have_the_same_methods_with_the_same_parameters(sync: type, asynchronous: type) -> None:
    # Of the folder and of objects that are no answers; all are reached by `ask`.
    not_awaited = {"connection", "git", "project", "stage_names", "within"}
    if sync is Revisions:  # they end with each question
        not_awaited.add("close")
    for name, member in inspect.getmembers(sync):
        if name.startswith("_") or name in not_awaited:
            continue
        twin = inspect.getattr_static(asynchronous, name)
        if isinstance(member, property):
            assert isinstance(twin, property), name
            continue
        assert _parameters(member) == _parameters(twin), name
        assert inspect.getdoc(twin), name
        if member is not twin and name not in {"check", "revisions"}:
            assert inspect.iscoroutinefunction(twin) or "AsyncGenerator" in str(
                inspect.signature(twin).return_annotation
            ), name


def _parameters(method: Any) -> list[tuple[str, object, object]]:
    found = inspect.signature(method).parameters.values()
    return [(one.name, one.kind, one.default) for one in found if one.name != "self"]


_SNIPPET = """
import asyncio
from wherry.client import AsyncClient, Client, ClientError, Run, RunOptions, Selection

def train(lr: float) -> dict[str, object]:
    with Client(folder=".") as client:
        run: Run = client.submit(Selection(set_params=[f"lr={lr}"]), RunOptions(name="x"))
        seconds: float | None = run.wait(timeout=1.0).wall_s
        words: list[str] = [line.text for line in run.logs(follow=True)]
        reveal_type((seconds, words, run.stages["a"].outs))
        return run.metrics

async def wait(name: str) -> str:
    async with AsyncClient() as client:
        run = await client.run(name)
        reveal_type(await run.metrics)
        return (await run.wait()).state

def wrong(client: Client) -> None:
    client.repro(pull="everything")
    client.submit(RunOptions())
    asyncio.run(wait(1))
"""


def test_a_type_checker_knows_the_sdk_from_a_file_of_the_user(tmp_path: Path) -> None:
    """The packages are found as installed ones are: by their marker, not as sources of this repository."""
    (tmp_path / "user.py").write_text(_SNIPPET)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = done.stdout.splitlines()
    told = [line.split(": ", 2)[2] for line in lines if ": note: Revealed" in line]
    assert told == [
        'Revealed type is "tuple[float | None, list[str], typing.Mapping[str, str | None]]"',
        'Revealed type is "dict[str, Any]"',
    ], done.stdout
    errors = [line for line in lines if ": error:" in line]
    assert [re.sub(r".*\[(.*)\]$", r"\1", line) for line in errors] == ["arg-type"] * 3, done.stdout
