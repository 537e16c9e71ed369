"""The product as users meet it: the `wherry` program, a service of its own, and projects in folders."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.dvc_init import init_dvc
from tests.dvc_program import run_dvc
from tests.wherry_program import run_wherry

REPOSITORY = Path(__file__).resolve().parents[2]
WHERRY = Path(sys.executable).with_name("wherry")
STAGE_IMAGE = "wherry/base:bookworm"

# Enough for a container or two on a loaded machine; a hang shows as a failure, not as a stuck CI.
_COMMAND_S = 240

# For what takes less than a second on a machine that has nothing else to do.
_HAPPENS_WITHIN_S = 180

# What a service that is told nothing has ready for runs to come.
_AHEAD_MAX = 2

UNTIL_GO = "until test -e go; do sleep 0.05; done"
"""In the command of a stage: wait until the test lets it go on."""

Metadata = tuple[tuple[str, str], ...]
"""What goes beside a call."""

_GIT = ("-c", "user.name=Test", "-c", "user.email=test@example.org")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    def expect(self, code: int) -> "Finished":
        """Fail the test, showing everything, when the exit code is another."""
        assert self.code == code, (
            f"exit {self.code}, expected {code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
        )
        return self


@dataclass(frozen=True, slots=True)
class Service:
    """A running embedded service."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """WHERRY_… variables beside the home."""

    def environment(self, user: str = "ana") -> dict[str, str]:
        """What a user of it has in the environment."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("WHERRY_", "DVC_"))}
        own = {"WHERRY_HOME": str(self.home), "WHERRY_USER": user, "DVC_NO_ANALYTICS": "1"}
        # Nothing that whoever runs the tests has set up for themselves.
        own["XDG_CONFIG_HOME"] = str(self.home / "no-config")
        return {**kept, **own, **self.settings}

    def let_go(self, seed: str) -> None:
        """Let stages that wait go on, of projects whose file `seed` has this content."""
        for workspace in (self.home / "workspaces").iterdir():
            # It may be being made, or being removed.
            with contextlib.suppress(FileNotFoundError):
                if (workspace / "seed").read_text() == seed:
                    (workspace / "go").touch()

    def wherry(self, *args: str | Path, cwd: Path, user: str = "ana", stdin: str = "") -> Finished:
        """Run the command line in a folder."""
        command = [str(word) for word in (WHERRY, *args)]
        done = run_wherry(command, cwd=cwd, env=self.environment(user), stdin=stdin)
        return Finished(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Project:
    """A DVC project in a folder, in git."""

    root: Path
    service: Service
    user: str = field(default="ana")

    def wherry(self, *args: str | Path) -> Finished:
        """Run the command line in the project."""
        return self.service.wherry(*args, cwd=self.root, user=self.user)

    def repro(self, *args: str) -> Any:
        """Reproduce, expect success, return the JSON of the run."""
        return self.wherry("repro", "--json", *args).expect(0).json()

    def dvc(self, *args: str) -> Finished:
        """Run real DVC in the project."""
        done = run_dvc(*args, cwd=self.root, env=self.service.environment(self.user))
        return Finished(done.returncode, done.stdout, done.stderr)

    def write(self, files: dict[str, str]) -> None:
        """Write files of the project."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, message: str = "change", *, later_s: int = 0) -> None:
        """Commit everything that is not ignored, as if so much later."""
        git(self.root, "add", "-A")
        at = f"{int(time.time()) + later_s} +0000"
        run(
            ["git", *_GIT, "commit", "-q", "-m", message, "--allow-empty"],
            cwd=self.root,
            env={**os.environ, "GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at},
        ).expect(0)

    def clone(self, root: Path, *, user: str) -> "Project":
        """A second clone, somewhere else, of somebody else: without any data."""
        git(root.parent, "clone", "-q", str(self.root), str(root))
        return Project(root, self.service, user)


def new_project(root: Path, service: Service, files: dict[str, str]) -> Project:
    """A project of its own: git and DVC initialised, the test image set, files committed."""
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    project = Project(root, service)
    init_dvc(root)
    project.write({".dvc/wherry.toml": f'[defaults]\nimage = "{STAGE_IMAGE}"\n', **files})
    project.commit("begin")
    return project


def run(
    command: Sequence[str | Path], *, cwd: Path, env: dict[str, str] | None = None, stdin: str = ""
) -> Finished:
    """Run a program to its end."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; fail the test when it is not in time."""
    deadline = time.monotonic() + _HAPPENS_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def git(folder: Path, *args: str) -> str:
    """Run git, expect success."""
    return run(["git", *args], cwd=folder).expect(0).out


def files_that_hold(content: str, *places: Path) -> list[Path]:
    """Files at or below these places in which it stands; a file that goes meanwhile holds nothing any more."""
    assert [place for place in places if not place.exists()] == []
    looked = run(["grep", "-rlaFs", "-D", "skip", "-e", content, *places], cwd=REPOSITORY)
    return [Path(line) for line in looked.out.splitlines()]


def states(run_json: Any) -> dict[str, tuple[str, str | None]]:
    """State and use of the cache, by stage."""
    return {stage["name"]: (stage["state"], stage["cache"]) for stage in run_json["stages"]}


def until_no_container_is_left(service: Service) -> None:
    """Those of stages are gone when their run has ended; those that held networks for them go right after.

    What holds networks for runs to come stays.
    """
    # Of this service: others may be at work on the same engine.
    home = hashlib.sha256(str(service.home).encode()).hexdigest()[:16]
    ours = ["docker", "ps", "-aq", "--filter", f"label=wherry.home={home}"]
    stages = [*ours, "--filter", "label=wherry.attempt"]
    ahead = [*ours, "--filter", "label=wherry.holds"]

    def found(command: list[str]) -> set[str]:
        return set(run(command, cwd=service.home).expect(0).out.split())

    assert found(stages) == set()
    until(lambda: len(left := found(ours)) <= _AHEAD_MAX and not left - found(ahead))
