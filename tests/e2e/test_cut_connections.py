"""Streams through a proxy that cuts every connection after a second: every line once, in order."""

import json
import re
import subprocess
from collections.abc import Callable

from tests.cutting_proxy import cutting_proxy
from tests.e2e.harness import WHERRY, Project

Make = Callable[[dict[str, str]], Project]

LINES = 50
COUNTING = f"""\
stages:
  count:
    cmd: for n in $(seq {LINES}); do echo "line $n of many"; sleep 0.1; done
    deps: [a]
"""
DEADLINE_S = 90


def test_no_line_is_lost_or_doubled_when_connections_are_cut(make_project: Make) -> None:
    project = make_project({"dvc.yaml": COUNTING, "a": "cut"})
    run = project.wherry("repro", "--detach", "--json").expect(0).json()["id"]
    home = project.service.home
    direct = json.loads((home / "service.json").read_text())["address"].removeprefix("grpc://")

    with cutting_proxy(direct) as proxy:
        through = {
            **project.service.environment(),
            "WHERRY_SERVER": proxy.address,
            "WHERRY_TOKEN": (home / "token").read_text().strip(),
        }
        commands = {"logs": ("logs", "-f", run), "attach": ("attach", run), "wait": ("wait", run)}
        going = {
            name: subprocess.Popen(
                [WHERRY, *command],
                cwd=project.root,
                env=through,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, command in commands.items()
        }
        said = {name: process.communicate(timeout=DEADLINE_S) for name, process in going.items()}

    expected = [f"line {number} of many" for number in range(1, LINES + 1)]
    for name in ("logs", "attach"):
        heard = re.findall(r"line \d+ of many$", "".join(said[name]), re.MULTILINE)
        assert heard == expected, said[name]
    assert {name: process.returncode for name, process in going.items()} == dict.fromkeys(commands, 0), said
    # Or nothing was tried here.
    assert proxy.cuts > 0
