"""Streams through a proxy that cuts every connection after a second: every line once, in order."""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable

from tests.cutting_proxy import cutting_proxy
from tests.e2e.harness import UNTIL_GO, WHERRY, Project

Make = Callable[[dict[str, str]], Project]

LINES = 50
COUNTING = f"""\
stages:
  count:
    cmd: for n in $(seq {LINES}); do echo "line $n of many"; sleep 0.05; [ $n != 25 ] || {UNTIL_GO}; done
    deps: [seed]
"""
DEADLINE_S = 90


def test_no_line_is_lost_or_doubled_when_connections_are_cut(make_project: Make) -> None:
    seed = uuid.uuid4().hex
    project = make_project({"dvc.yaml": COUNTING, "seed": seed})
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
        deadline = time.monotonic() + DEADLINE_S
        # Enough for each of the three, whoever is quick.
        while proxy.cuts < 6:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        project.service.let_go(seed)
        said = {name: process.communicate(timeout=DEADLINE_S) for name, process in going.items()}

    expected = [f"line {number} of many" for number in range(1, LINES + 1)]
    for name in ("logs", "attach"):
        heard = re.findall(r"line \d+ of many$", "".join(said[name]), re.MULTILINE)
        assert heard == expected, said[name]
    assert {name: process.returncode for name, process in going.items()} == dict.fromkeys(commands, 0), said
