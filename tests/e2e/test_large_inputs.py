"""An input folder of many files, from end to end."""

from collections.abc import Callable

from tests.e2e.harness import Project, states

PIPELINE = """stages:
  many: {cmd: "mkdir many; for n in $(seq 5000); do echo the same >many/$n; done; echo odd >many/7", deps: [seed], outs: [many]}
  use:
    cmd: >-
      ls many | wc -l >count; cat many/7 >>count;
      (touch many/new || echo cannot add) >>count 2>/dev/null;
      mkdir split; ln -s ../many/7 split/seven; ln -s /workspace/many/8 split/eight
    deps: [many]
    outs: [count, split]
"""


def test_a_stage_sees_all_of_a_large_folder_cannot_change_it_and_may_link_into_it(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    project = make_project({"dvc.yaml": PIPELINE, "seed": "x\n"})
    assert states(project.repro()) == {"many": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    project.wherry("pull", "count", "split").expect(0)
    assert (project.root / "count").read_text().split("\n") == ["5000", "odd", "cannot add", ""]
    split = {path.name: path.read_text() for path in (project.root / "split").iterdir()}
    assert split == {"seven": "odd\n", "eight": "the same\n"}
    # Nothing of it changed: what DVC would see is what was recorded.
    again = project.repro()
    assert states(again) == {"many": ("succeeded", "hit"), "use": ("succeeded", "hit")}
