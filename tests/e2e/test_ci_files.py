"""The GitHub Action and the GitLab template of deploy/ci: their steps are executed as they stand, by the shell."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness import REPOSITORY, WHERRY, Project, Service, new_project

_CI = REPOSITORY / "deploy" / "ci"
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")

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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    made = new_project(tmp_path_factory.mktemp("ci") / "project", service, _FILES)
    made.repro("train")
    made.commit("results")
    made.write({"source": "0.75\n"})
    return made


@dataclass
class Job:
    """What runs the steps of a composite action, as far as this one needs it."""

    project: Project
    folder: Path
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def run(self) -> int:
        """Execute all steps; the code is that of the first that failed."""
        action = yaml.safe_load((_CI / "action.yml").read_text())
        given = {name: str(about.get("default", "")) for name, about in action["inputs"].items()}
        assert self.inputs.keys() <= given.keys()
        self.inputs = {**given, **self.inputs}
        code = 0
        for step in action["runs"]["steps"]:
            assert step["shell"] == "bash"
            assert step.get("if") in {None, "always()"}
            if code and step.get("if") is None:
                continue
            code = self._step(step) or code
        return code

    def _step(self, step: dict[str, Any]) -> int:
        # An expression in a script would be a stranger's way into it.
        assert "${{" not in step["run"]
        output = self.folder / "output"
        output.write_text("")
        environment = {
            **self.project.service.environment(),
            **{name: self._value(value) for name, value in step.get("env", {}).items()},
            "PATH": f"{self.folder}:{WHERRY.parent}:{os.environ['PATH']}",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
        }
        done = subprocess.run(
            # As GitHub starts `shell: bash`.
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.project.root / self._value(step.get("working-directory", ".")),
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        self.log += done.stdout + done.stderr
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.outputs[f"steps.{step['id']}.outputs.{name}"] = value
        return done.returncode

    def _value(self, text: str) -> str:
        known = {
            **{f"inputs.{name}": value for name, value in self.inputs.items()},
            **self.outputs,
            "github.token": "t",
            "github.event.pull_request.number": "5",
        }
        return _EXPRESSION.sub(lambda found: known.get(found[1], ""), text)


def test_the_action_runs_reports_against_the_base_and_comments(project: Project, tmp_path: Path) -> None:
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/commented\n')
    gh.chmod(0o755)
    job = Job(project, tmp_path, {"targets": "train", "base": "HEAD", "comment": "true"})
    assert job.run() == 0, job.log
    report = (project.root / "wherry-report.md").read_text()
    assert "| metrics.json | accuracy | 0.5 | 0.75 | 0.25 |" in report
    assert "succeeded" in (tmp_path / "summary").read_text()
    assert (tmp_path / "commented").read_text().startswith("pr comment 5 --body-file wherry-report.md")
    assert '"accuracy": 0.75' in (project.root / "metrics.json").read_text()


def test_one_job_submits_and_another_waits_and_fails_with_the_run(project: Project, tmp_path: Path) -> None:
    first = Job(project, tmp_path, {"targets": "bad", "mode": "submit"})
    assert first.run() == 0, first.log
    run = first.outputs["steps.submit.outputs.run"]
    assert run.isdecimal()
    second = Job(project, tmp_path, {"mode": "wait", "run": run})
    assert second.run() == 1, second.log
    assert "::error file=dvc.yaml,line=8,title=stage bad::failed" in second.log
    assert "❌ failed" in (project.root / "wherry-report.md").read_text()
    assert Job(project, tmp_path, {"mode": "wait"}).run() == 1
    assert Job(project, tmp_path, {"mode": "nonsense"}).run() == 1


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
