"""The GitHub Action and the GitLab template of deploy/ci: the one is run by act, the other's steps by the shell."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness import REPOSITORY, WHERRY, Project, Service, git, new_project

_CI = REPOSITORY / "deploy" / "ci"
_ACT = Path(sys.executable).with_name("act")

# Act copies the project instead of checking it out, and removes the copy with the job.
_WORKFLOW = """
on: pull_request
jobs:
  reports:
    runs-on: ubuntu-latest
    steps:
    - uses: actions/checkout@v4
    - uses: ./.github/actions/wherry
      id: wherry
      with: {server: "${{ vars.SERVER }}", token: "${{ secrets.WHERRY_TOKEN }}", targets: train, comment: "true"}
    - run: |
        cp "${{ steps.wherry.outputs.report }}" "$KEPT/reports.md"
        cp metrics.json "$KEPT/metrics.json"
  submits:
    runs-on: ubuntu-latest
    outputs:
      run: ${{ steps.wherry.outputs.run }}
    steps:
    - uses: actions/checkout@v4
    - uses: ./.github/actions/wherry
      id: wherry
      with:
        server: ${{ vars.SERVER }}
        token: ${{ secrets.WHERRY_TOKEN }}
        targets: bad
        arguments: --label kind=nightly -n from-a-job
        mode: submit
  waits:
    runs-on: ubuntu-latest
    needs: submits
    steps:
    - uses: actions/checkout@v4
    - uses: ./.github/actions/wherry
      with:
        server: ${{ vars.SERVER }}
        token: ${{ secrets.WHERRY_TOKEN }}
        mode: wait
        run: ${{ needs.submits.outputs.run }}
        report: failed.md
    - if: always()
      run: cp failed.md "$KEPT/waits.md"
  lacks:
    runs-on: ubuntu-latest
    steps:
    - uses: actions/checkout@v4
    - uses: ./.github/actions/wherry
      with: {mode: wait}
  mistakes:
    runs-on: ubuntu-latest
    steps:
    - uses: actions/checkout@v4
    - uses: ./.github/actions/wherry
      with: {mode: nonsense, targets: "$(touch $KEPT/injected)"}
"""

_FILES = {
    "dvc.yaml": """
stages:
  train:
    cmd: 'echo "{\\"accuracy\\": $(cat source)}" > metrics.json'
    deps: [source]
    params: [lr]
    metrics: [metrics.json: {cache: false}]
  bad:
    cmd: echo broken >&2; exit 3
    deps: [source]
    outs: [never]
""",
    "source": "0.5\n",
    "params.yaml": "lr: 1\n",
}


_PROGRAMS = {
    "gh": '#!/bin/sh\necho "$GH_TOKEN" "$@" > "$KEPT/commented"\n',
    # Act keeps the summary of a step no longer than the step.
    "wherry": '#!/bin/sh\n{wherry} "$@"; code=$?; cat "$GITHUB_STEP_SUMMARY" >> "$KEPT/$GITHUB_JOB.summary"; exit $code\n',
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    made = new_project(tmp_path_factory.mktemp("ci") / "project", service, _FILES)
    made.write(
        {
            ".github/workflows/wherry.yml": _WORKFLOW,
            ".github/actions/wherry/action.yml": (_CI / "action.yml").read_text(),
        }
    )
    made.repro("train")
    made.commit("results")
    # As a checkout has it: what the change is made against.
    git(made.root, "update-ref", "refs/remotes/origin/main", "HEAD")
    made.write({"source": "0.75\n"})
    made.commit("change")
    return made


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of the jobs of a workflow."""

    told: list[dict[str, Any]]
    kept: Path

    def result(self, job: str) -> str:
        """success or failure."""
        (found,) = [str(one["jobResult"]) for one in self._of(job) if "jobResult" in one]
        return found

    def log(self, job: str) -> str:
        """What the steps of a job wrote."""
        return "".join(str(one["msg"]) for one in self._of(job) if one.get("raw_output"))

    def commands(self, job: str, name: str) -> list[tuple[dict[str, str], str]]:
        """The workflow commands of one name: their properties and their text."""
        return [(one["kvPairs"], one["arg"]) for one in self._of(job) if one.get("command") == name]

    def text(self, file: str) -> str:
        """A file that a job has kept."""
        return (self.kept / file).read_text()

    def _of(self, job: str) -> list[dict[str, Any]]:
        return [one for one in self.told if one.get("jobID") == job]


@pytest.fixture(scope="module")
def acted(tmp_path_factory: pytest.TempPathFactory, project: Project) -> Acted:
    """The workflow, run once: as a pull request, by somebody who has the server's address and a token."""
    folder = tmp_path_factory.mktemp("act")
    home, kept, programs = (folder / name for name in ("home", "kept", "programs"))
    for made in (home, kept, programs):
        made.mkdir()
    facts = json.loads((project.service.home / "service.json").read_text())
    (folder / "event.json").write_text(
        json.dumps({"pull_request": {"number": 5, "base": {"ref": "main"}, "head": {"ref": "change"}}})
    )
    (folder / "secrets").write_text(
        f"WHERRY_TOKEN={(project.service.home / 'token').read_text().strip()}\nGITHUB_TOKEN=the-token-of-the-job\n"
    )
    for name, script in _PROGRAMS.items():
        program = programs / name
        program.write_text(script.format(wherry=WHERRY))
        program.chmod(0o755)
    done = subprocess.run(
        [
            *(
                _ACT,
                "pull_request",
                "--json",
                "-P",
                "ubuntu-latest=-self-hosted",
                "--container-daemon-socket",
                "-",
                "--no-cache-server",
            ),
            *(
                "-e",
                folder / "event.json",
                "--secret-file",
                folder / "secrets",
                "--var",
                f"SERVER={facts['address']}",
            ),
            *("--env", f"KEPT={kept}"),
        ],
        cwd=project.root,
        env={
            **_plain_environment(),
            "PATH": f"{programs}:{WHERRY.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "ACT_DISABLE_VERSION_CHECK": "1",
            # Nothing of it runs in a container.
            "DOCKER_HOST": f"unix://{folder}/none",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return Acted([json.loads(line) for line in lines], kept)


def _plain_environment() -> Mapping[str, str]:
    """Nothing of this machine's Wherry."""
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("WHERRY_", "GITHUB_", "XDG_"))
    }


def test_the_action_runs_reports_against_the_base_and_comments(acted: Acted) -> None:
    assert acted.result("reports") == "success", acted.log("reports")
    assert "| metrics.json | accuracy | 0.5 | 0.75 | 0.25 |" in acted.text("reports.md")
    assert "succeeded" in acted.text("reports.summary")
    assert "| metrics.json | accuracy | 0.5 | 0.75 | 0.25 |" in acted.text("reports.summary")
    assert acted.text("commented").startswith(
        "the-token-of-the-job pr comment 5 --body-file wherry-report.md"
    )
    assert '"accuracy": 0.75' in acted.text("metrics.json")
    assert not acted.commands("reports", "error")


def test_one_job_submits_and_another_waits_and_fails_with_the_run(acted: Acted) -> None:
    assert acted.result("submits") == "success", acted.log("submits")
    assert acted.result("waits") == "failure"
    assert "broken" in acted.log("waits")
    assert "from-a-job" in acted.text("waits.md")
    for report in ("waits.md", "waits.summary"):
        assert "❌ failed" in acted.text(report)
    (place, text) = next(one for one in acted.commands("waits", "error"))
    assert place == {"file": "dvc.yaml", "line": "8", "title": "stage bad"}
    assert text.startswith("failed")


def test_what_is_wrong_with_inputs_is_said_and_nothing_of_them_is_executed(acted: Acted) -> None:
    assert acted.result("lacks") == acted.result("mistakes") == "failure"
    assert "mode wait needs the input 'run'" in acted.log("lacks")
    assert "mode must be run, submit or wait, not 'nonsense'" in acted.log("mistakes")
    assert not (acted.kept / "injected").exists()


def test_no_script_of_the_action_holds_an_expression() -> None:
    """It would be a stranger's way into it."""
    steps = yaml.safe_load((_CI / "action.yml").read_text())["runs"]["steps"]
    assert not [step["name"] for step in steps if "${{" in step["run"]]


def test_the_gitlab_template_hands_the_run_from_job_to_job(project: Project) -> None:
    template = yaml.safe_load((_CI / "wherry.gitlab-ci.yml").read_text())
    variables = {name: str(value) for name, value in template["variables"].items()}
    environment = {
        **project.service.environment(),
        **variables,
        "WHERRY_TARGETS": "train",
        "PATH": f"{WHERRY.parent}:{os.environ['PATH']}",
        "CI": "true",
        "GITLAB_CI": "true",
    }

    def job(name: str, part: str) -> str:
        script = "\n".join([*template[".wherry"]["before_script"], *template[name][part]])
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=project.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    job("wherry:submit", "script")
    assert template["wherry:submit"]["artifacts"]["reports"]["dotenv"] == "wherry.env"
    name, _, run = (project.root / "wherry.env").read_text().strip().partition("=")
    environment[name] = run
    assert template["wherry:wait"]["needs"] == ["wherry:submit"]
    assert "train" in job("wherry:wait", "script")
    job("wherry:wait", "after_script")
    assert f"Wherry run {run} " in (project.root / "wherry-report.md").read_text()
