"""Streams through a proxy that cuts every connection after a second: every line once, in order."""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack

from tests.cutting_proxy import cutting_proxy
from tests.e2e.harness import WHERRY, Project

Make = Callable[[dict[str, str]], Project]

# So many connections are cut: enough for each of the three that watch, whoever is quick.
CUTS = 9
COUNTING = """\
stages:
  count:
    cmd: n=0; until test -e go; do n=$((n+1)); echo "line $n of many"; sleep 0.1; done
    deps: [seed]
"""
DEADLINE_S = 120


def test_no_line_is_lost_or_doubled_when_connections_are_cut(make_project: Make) -> None:
    seed = uuid.uuid4().hex
    project = make_project({"dvc.yaml": COUNTING, "seed": seed})
    run = project.wherry("repro", "--detach", "--json").expect(0).json()["id"]
    home = project.service.home
    direct = json.loads((home / "service.json").read_text())["address"].removeprefix("grpc://")

    with cutting_proxy(direct) as proxy, ExitStack() as stack:
        through = {
            **project.service.environment(),
            "WHERRY_SERVER": proxy.address,
            "WHERRY_TOKEN": (home / "token").read_text().strip(),
        }
        commands = {"logs": ("logs", "-f", run), "attach": ("attach", run), "wait": ("wait", run)}
        going = {}
        for name, command in commands.items():
            going[name] = stack.enter_context(
                subprocess.Popen(
                    [WHERRY, *command],
                    cwd=project.root,
                    env=through,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(going[name].kill)
        deadline = time.monotonic() + DEADLINE_S
        while proxy.cuts < CUTS:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # The last connections last: how soon a machine comes back after a cut is not asked here.
        proxy.lasts_s = (DEADLINE_S, DEADLINE_S)
        project.service.let_go(seed)
        said = {name: process.communicate(timeout=DEADLINE_S) for name, process in going.items()}

    written = project.wherry("logs", run).expect(0).out
    count = len(re.findall(r"line \d+ of many$", written, re.MULTILINE))
    expected = [f"line {number} of many" for number in range(1, count + 1)]
    for heard in (written, *("".join(said[name]) for name in ("logs", "attach"))):
        assert re.findall(r"line \d+ of many$", heard, re.MULTILINE) == expected, said
    assert expected
    assert {name: process.returncode for name, process in going.items()} == dict.fromkeys(commands, 0), said
