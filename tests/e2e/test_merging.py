"""The same work submitted at the same time is done once."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.harness import Project

Make = Callable[[dict[str, str]], Project]

# What a stage makes is another thing every time: equal locks say that it ran once.
TWENTY = "stages:\n" + "".join(
    f"  s{number}: {{cmd: cat /proc/sys/kernel/random/uuid > o{number}, deps: [{dep}], outs: [o{number}]}}\n"
    for number, dep in enumerate(["seed", *(f"o{number // 2}" for number in range(19))])
)
SLOW = "stages:\n  slow: {cmd: echo first; sleep 4; echo last; echo done > out, deps: [seed], outs: [out]}\n"
NO_NETWORK = '[defaults]\nimage = "wherry/base:bookworm"\nnetwork = false\n'


def test_twenty_stages_that_two_users_submit_at_once_run_twenty_times(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project({"dvc.yaml": TWENTY, "seed": uuid.uuid4().hex, ".dvc/wherry.toml": NO_NETWORK})
    laptop = project.clone(tmp_path / "laptop", user="ben")

    with ThreadPoolExecutor(2) as at_once:
        runs = list(at_once.map(Project.repro, (project, laptop)))

    used = [stage["cache"] for run in runs for stage in run["stages"]]
    assert used.count("miss") == 20
    assert set(used) <= {"miss", "merged", "hit"}
    assert "merged" in used
    assert (project.root / "dvc.lock").read_bytes() == (laptop.root / "dvc.lock").read_bytes()


def test_who_is_attached_sees_whose_run_it_is_and_all_of_its_output(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project({"dvc.yaml": SLOW, "seed": uuid.uuid4().hex})
    laptop = project.clone(tmp_path / "laptop", user="ben")
    first = project.wherry("repro", "--detach", "--json").expect(0).json()["id"]
    second = laptop.repro()
    told = laptop.wherry("logs", second["id"]).expect(0).out

    (stage,) = second["stages"]
    assert (stage["cache"], stage["from_run"]) == ("merged", first)
    assert f"attached to run {first} of ana" in told
    assert [word for word in told.split() if word in {"first", "last"}] == ["first", "last"]
