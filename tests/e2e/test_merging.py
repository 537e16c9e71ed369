"""The same work submitted at the same time is done once."""

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.harness import UNTIL_GO, Project, until

Make = Callable[[dict[str, str]], Project]

# What a stage makes is another thing every time: equal locks say that it ran once. All stand on the first.
TWENTY = "stages:\n" + "".join(
    f"  s{number}: {{cmd: {first}cat /proc/sys/kernel/random/uuid > o{number}, deps: [{dep}], outs: [o{number}]}}\n"
    for number, (dep, first) in enumerate(
        [("seed", f"{UNTIL_GO}; "), *((f"o{number // 2}", "") for number in range(19))]
    )
)
SLOW = f"""\
stages:
  slow:
    cmd:
    - echo first; {UNTIL_GO}; echo last; true
    - echo done > out
    deps: [seed]
    outs: [out]
"""
_DEADLINE_S = 120
NO_NETWORK = '[defaults]\nimage = "wherry/base:bookworm"\nnetwork = false\n'


def test_twenty_stages_that_two_users_submit_at_once_run_twenty_times(
    make_project: Make, tmp_path: Path
) -> None:
    seed = uuid.uuid4().hex
    project = make_project({"dvc.yaml": TWENTY, "seed": seed, ".dvc/wherry.toml": NO_NETWORK})
    laptop = project.clone(tmp_path / "laptop", user="ben")

    first, second = (
        user.wherry("repro", "--detach", "--json").expect(0).json()["id"] for user in (project, laptop)
    )
    until(lambda: stages_of(project, first)["s0"]["state"] == "running")
    until(lambda: stages_of(laptop, second)["s0"]["cache"] == "merged")
    project.service.let_go(seed)
    used = []
    for user, run in ((project, first), (laptop, second)):
        user.wherry("wait", run).expect(0)
        user.wherry("apply", run).expect(0)
        used += [stage["cache"] for stage in stages_of(user, run).values()]

    assert used.count("miss") == 20
    assert set(used) <= {"miss", "merged", "hit"}
    assert (project.root / "dvc.lock").read_bytes() == (laptop.root / "dvc.lock").read_bytes()


def test_who_is_attached_sees_whose_run_it_is_and_all_of_its_output(
    make_project: Make, tmp_path: Path
) -> None:
    seed = uuid.uuid4().hex
    project = make_project({"dvc.yaml": SLOW, "seed": seed})
    laptop = project.clone(tmp_path / "laptop", user="ben")
    first = project.wherry("repro", "--detach", "--json").expect(0).json()["id"]
    until(lambda: bool(re.search(r"(?m)\bfirst$", project.wherry("logs", first).expect(0).out)))
    second = laptop.wherry("repro", "--detach", "--json").expect(0).json()["id"]
    until(lambda: stages_of(laptop, second)["slow"]["cache"] == "merged")
    project.service.let_go(seed)
    laptop.wherry("wait", second).expect(0)
    told = laptop.wherry("logs", second).expect(0).out

    merged = stages_of(laptop, second)["slow"]
    assert (merged["cache"], merged["from_run"]) == ("merged", first)
    assert f"attached to run {first} of ana" in told
    assert [len(re.findall(rf"(?m)\b{word}$", told)) for word in ("first", "last")] == [1, 1]


def stages_of(project: Project, run_id: str) -> dict[str, Any]:
    stages = project.wherry("show", run_id, "--json").expect(0).json()["stages"]
    return {stage["name"]: stage for stage in stages}
