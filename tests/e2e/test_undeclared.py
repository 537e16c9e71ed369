"""Files that stages read without declaring them, through the real service and engine: hits stay sound."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import Project, Service, new_project, states

MakeProject = Callable[[dict[str, str]], Project]

_FILES = {
    "dvc.yaml": (
        "stages:\n"
        "  train:\n"
        "    cmd: python3 -m src.train\n"
        "    deps: [src/train.py]\n"
        "    params: [lr]\n"
        "    outs: [model.txt]\n"
        "  test:\n"
        "    cmd: cp model.txt score.txt\n"
        "    deps: [model.txt]\n"
        "    outs: [score.txt]\n"
    ),
    "params.yaml": "lr: 0.1\n",
    "src/train.py": (
        "from pathlib import Path\n"
        "from src.lib.helper import work\n"
        "Path('params.yaml').read_text()\n"
        "Path('model.txt').write_text(work(Path('conf.json').read_text()))\n"
    ),
    "src/lib/helper.py": "def work(text):\n    return 'first ' + text\n",
    "src/other.py": "unused = True\n",
    "conf.json": "{}\n",
    "README.md": "nobody reads this\n",
}


def _undeclared(document: dict[str, object], stage: str) -> list[str]:
    (found,) = [item for item in document["stages"] if item["name"] == stage]  # type: ignore[attr-defined]
    return [file["path"] for file in found["undeclared"]]


def test_a_helper_that_nobody_declares_is_named_and_its_change_runs_the_stage(
    make_project: MakeProject,
) -> None:
    project = make_project(_FILES)
    watched = project.wherry("repro", "--json").expect(0)
    first = watched.json()

    assert _undeclared(first, "train") == ["conf.json", "src/lib/helper.py"]
    assert _undeclared(first, "test") == []
    assert "train read 2 files of the project without declaring them" in watched.err
    assert "    deps:\n    - conf.json\n    - src/lib/helper.py\n" in watched.err
    shown = project.wherry("show", first["id"]).expect(0).out
    assert "train reads without declaring:\n    deps:\n    - conf.json\n    - src/lib/helper.py\n" in shown

    project.write({"README.md": "changed", "src/other.py": "", "src/new.py": "", "src/__init__.py": ""})
    again = project.wherry("repro", "--json").expect(0)
    assert states(again.json()) == {"train": ("succeeded", "hit"), "test": ("succeeded", "hit")}
    assert _undeclared(again.json(), "train") == ["conf.json", "src/lib/helper.py"]
    assert "without declaring" not in again.err

    project.wherry("pull").expect(0)
    project.write({"src/lib/helper.py": "def work(text):\n    return 'second ' + text\n"})
    # DVC does not see it.
    assert "up to date" in project.dvc("status").expect(0).out
    why = project.wherry("why", "train").expect(0).out
    assert "src/lib/helper.py, which the stage read without declaring it, has changed" in why
    changed = project.repro()
    assert states(changed)["train"] == ("succeeded", "miss")
    project.wherry("pull").expect(0)
    assert (project.root / "model.txt").read_text() == "second {}\n"
    told = project.wherry("why", "train", "--run", changed["id"], "--json").expect(0).json()
    assert [(item["part"], item["name"]) for item in told["differences"]] == [
        ("undeclared", "src/lib/helper.py")
    ]


def test_two_users_with_other_helpers_share_a_key_and_both_hit(
    make_project: MakeProject, service: Service, tmp_path: Path
) -> None:
    files = _FILES | {"params.yaml": "lr: two\n"}
    ana = make_project(files)
    bob = new_project(
        tmp_path / "bob",
        service,
        files | {"src/lib/helper.py": "def work(text):\n    return 'bob ' + text\n"},
    )
    runs = [project.repro() for project in (ana, bob, ana, bob)]
    keys = {stage["key"] for run in runs for stage in run["stages"] if stage["name"] == "train"}
    assert len(keys) == 1
    assert [states(run)["train"][1] for run in runs] == ["miss", "miss", "hit", "hit"]
    for project, text in ((ana, "first {}\n"), (bob, "bob {}\n")):
        project.wherry("pull").expect(0)
        assert (project.root / "model.txt").read_text() == text


def test_undeclared_files_can_be_hidden_or_not_count(make_project: MakeProject) -> None:
    project = make_project(_FILES | {"params.yaml": "lr: modes\n"})
    settings = (project.root / ".dvc/wherry.toml").read_text()
    project.write({".dvc/wherry.toml": settings + 'undeclared = "error"\n'})
    failed = project.wherry("repro", "train", "--json").expect(1)
    assert failed.json()["stages"][0]["state"] == "failed"
    assert "No module named 'src.lib'" in failed.err
    assert 'undeclared = "error"' in failed.err
    project.write(
        {"dvc.yaml": _FILES["dvc.yaml"].replace("[src/train.py]", "[src/train.py, src/lib, conf.json]")}
    )
    assert states(project.repro("train"))["train"] == ("succeeded", "miss")

    project.write({"dvc.yaml": _FILES["dvc.yaml"], ".dvc/wherry.toml": settings + 'undeclared = "ignore"\n'})
    first = project.wherry("repro", "train", "--json").expect(0)
    assert (states(first.json())["train"], _undeclared(first.json(), "train")) == (("succeeded", "miss"), [])
    assert "without declaring" not in first.err
    project.write({"conf.json": json.dumps({"changed": True})})
    assert states(project.repro("train"))["train"] == ("succeeded", "hit")
    # Nobody looked what that result read: where it counts, it stands for nothing.
    project.write({".dvc/wherry.toml": settings})
    assert states(project.repro("train"))["train"] == ("succeeded", "miss")
