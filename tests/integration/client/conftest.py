"""A project in a real git repository, the `wherry` program, and a service of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client.fake_service import FakeService
from tests.wherry_program import run_wherry

WHERRY = Path(sys.executable).with_name("wherry")


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Finished]


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake = FakeService()
    yield fake
    fake.stop()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "dvc.lock").write_text("old lock\n")
    (root / ".gitignore").write_text("/data\n/model\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "add", "."], check=True)
    return root


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WHERRY_")}
    kept.pop("NO_COLOR", None)
    return {**kept, "WHERRY_HOME": str(tmp_path / "home"), "WHERRY_USER": "ana"}


@pytest.fixture
def wherry(project: Path, service: FakeService, environment: dict[str, str]) -> Run:
    def run(*arguments: str, folder: Path = project, **extra: str) -> Finished:
        variables = {**environment, "WHERRY_SERVER": service.address, **extra}
        kept = {key: value for key, value in variables.items() if value}
        done = run_wherry([str(WHERRY), *arguments], cwd=folder, env=kept)
        return Finished(done.returncode, done.stdout, done.stderr)

    return run
