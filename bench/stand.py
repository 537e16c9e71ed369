"""What benchmarks with containers stand on: programs in one environment, projects, and containers like Wherry's.

"The same container" is meant literally: one of Wherry's is looked at while it runs, and the bare ones get its
configuration, with folders of ours in place of its workspace.
"""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import APIClient

_TOP = Path(__file__).resolve().parent.parent
WHERRY = Path(sys.executable).parent / "wherry"
DVC = _TOP / ".venv-dvc" / "bin" / "dvc"
IMAGE = "wherry/base:bookworm"

_JOINED = "container:"
_WATCH_S = 60
_TELL_S = 15.0
_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of one dependency and one output."""

    name: str
    command: str
    dep: str
    out: str


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WHERRY_")}
    # Both programs as they are once installed: compiled. DVC is; Wherry's own modules are at their first use.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **kept,
        "WHERRY_HOME": str(home),
        "WHERRY_USER": "bench",
        "DVC_NO_ANALYTICS": "1",
        "NO_COLOR": "1",
        "CI": "true",
    }


class Shell:
    """Runs programs in one environment; a failing one ends the benchmark with its output."""

    def __init__(self, home: Path) -> None:
        self.environment = _environment(home)

    def run(self, *command: str | Path, cwd: Path) -> str:
        """What a program that succeeds writes to stdout."""
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            line = " ".join(str(part) for part in command)
            raise SystemExit(f"`{line}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def watch(self, *command: str | Path, cwd: Path) -> None:
        """Run a program that takes long and says on stderr how it goes on: so do we, now and then."""
        told = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        count, last = 0, deque[str](maxlen=_LAST_LINES)
        for line in process.stderr:
            count += " succeeded " in line
            last.append(line)
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                print(f"  {count} stages have run", file=sys.stderr)
        if process.wait() != 0:
            line = " ".join(str(part) for part in command)
            raise SystemExit(f"`{line}` ended with {process.returncode}:\n{''.join(last)}")

    def start(self, *command: str | Path, cwd: Path) -> "subprocess.Popen[bytes]":
        """A program that goes on beside this one, its output thrown away."""
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def make_project(folder: Path, stages: Sequence[Stage], shell: Shell) -> None:
    """A DVC project in a git repository; out000.txt is a file in git."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("")
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / ".dvc" / "wherry.toml").write_text(f'[defaults]\nimage = "{IMAGE}"\n')
    (folder / "out000.txt").write_text("seed\n")
    lines = ["stages:"]
    for stage in stages:
        lines += [
            f"  {stage.name}:",
            f"    cmd: {stage.command}",
            f"    deps: [{stage.dep}]",
            f"    outs: [{stage.out}]",
        ]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    shell.run("git", "init", "-q", cwd=folder)
    shell.run("git", "add", "-A", cwd=folder)
    shell.run(
        "git",
        "-c",
        "user.name=bench",
        "-c",
        "user.email=bench@example.org",
        "commit",
        "-qm",
        "bench",
        cwd=folder,
    )


def wherry_container(client: APIClient, shell: Shell, folder: Path) -> dict[str, Any]:
    """Run a stage that waits a little and return the engine's description of its container."""
    make_project(
        folder, [Stage("s001", "sleep 3; cat out000.txt > out001.txt", "out000.txt", "out001.txt")], shell
    )
    known = {container["Id"] for container in client.containers(all=True)}
    running = shell.start(WHERRY, "repro", cwd=folder)
    deadline = time.monotonic() + _WATCH_S
    try:
        while time.monotonic() < deadline and running.poll() is None:
            for container in client.containers(filters={"label": "wherry.run"}):
                if container["Id"] not in known:
                    return _in_own_network(client, client.inspect_container(container["Id"]))
            time.sleep(0.05)
    finally:
        running.wait(timeout=_WATCH_S)
    raise SystemExit("no container of Wherry's was seen: does `wherry repro` work here?")


def _in_own_network(client: APIClient, found: dict[str, Any]) -> dict[str, Any]:
    """A container that uses the network of one that holds it goes when its run ends; bare ones are put where that is."""
    mode = str(found["HostConfig"]["NetworkMode"])
    if mode.startswith(_JOINED):
        holder: dict[str, Any] = client.inspect_container(mode.removeprefix(_JOINED))
        mode = str(holder["HostConfig"]["NetworkMode"])
    return {**found, "HostConfig": {**found["HostConfig"], "NetworkMode": mode}}


def bare_config(like: dict[str, Any], command: str, workspace: Path) -> dict[str, Any]:
    """The configuration of a container just like the one described, on a workspace of ours."""
    host = dict(like["HostConfig"])
    host.pop("CgroupParent", None)
    host["Mounts"] = [
        {**mount, "Source": str(workspace)} if mount["Type"] == "bind" else mount
        for mount in host.get("Mounts") or []
    ]
    host["Binds"] = [
        ":".join([str(workspace), *bind.split(":")[1:]]) for bind in host.get("Binds") or []
    ] or None
    config = {name: value for name, value in like["Config"].items() if name not in {"Hostname", "Domainname"}}
    labels = {name: value for name, value in config["Labels"].items() if not name.startswith("wherry.")}
    return {
        **config,
        "Labels": {**labels, "wherry-bench": "bare"},
        "Cmd": ["/bin/sh", "-c", command],
        "HostConfig": host,
    }


def bare_stage(client: APIClient, config: dict[str, Any]) -> float:
    """Seconds to create, start, await and remove one container."""
    untyped: Any = client
    before = time.perf_counter()
    container: str = untyped.create_container_from_config(config)["Id"]
    try:
        client.start(container)
        status = client.wait(container)["StatusCode"]
    finally:
        client.remove_container(container, force=True, v=True)
    seconds = time.perf_counter() - before
    if status != 0:
        raise SystemExit(f"the bare container ended with {status}")
    return seconds
