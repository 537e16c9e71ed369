"""Projects that DVC 2 left, with Windows line ends: submitted as they are, and gone on with by DVC."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import Project, states
from tests.legacy_projects import make_legacy

Make = Callable[[dict[str, str]], Project]

_WINDOWS = b"one\r\ntwo\r\n"
_PIPELINE = """\
stages:
  read: {cmd: cat windows other > text && cp -r folder made && cp folder/b plain,
    deps: [windows, other, folder], outs: [text, made, plain]}
  use: {cmd: cp text used, deps: [text, made, tracked], params: [n], outs: [used]}
"""
_DATA = ("windows", "other", "folder", "tracked", "text", "made", "plain", "used")


@pytest.fixture
def project(make_project: Make) -> Project:
    """Run by DVC on a laptop, and then as DVC 2 would have left it."""
    made = make_project({"dvc.yaml": _PIPELINE, "params.yaml": "n: 1\n", "other": "x\n"})
    (made.root / "folder").mkdir()
    for name in ("windows", "folder/a", "tracked"):
        (made.root / name).write_bytes(_WINDOWS)
    (made.root / "folder/b").write_bytes(b"plain\n")
    made.dvc("add", "-q", "tracked").expect(0)
    made.dvc("repro", "-q").expect(0)
    make_legacy(made.root, _DATA, ("dvc.lock", "tracked.dvc"))
    made.commit()
    return made


def _lock(project: Project) -> str:
    return (project.root / "dvc.lock").read_text()


def test_an_unchanged_project_of_dvc_2_stays_as_it_is(project: Project) -> None:
    before = _lock(project)
    assert project.wherry("status", "--dvc", "--json").expect(0).json() == {}

    run = project.repro()

    assert states(run) == {"read": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    assert _lock(project) == before
    assert project.dvc("status", "--json").expect(0).json() == {}
    assert "Running" not in project.dvc("repro").expect(0).out
    assert states(project.repro()) == {"read": ("succeeded", "hit"), "use": ("succeeded", "hit")}


def test_a_changed_project_of_dvc_2_gets_the_lock_that_dvc_writes(project: Project, tmp_path: Path) -> None:
    laptop = project.clone(tmp_path / "laptop", user="ben")
    (laptop.root / "tracked").write_bytes(_WINDOWS)
    for copy in (project, laptop):
        copy.write({"other": "y\n"})
    said = project.wherry("status", "--dvc", "--json").expect(0).json()

    project.repro()
    laptop.dvc("repro").expect(0)

    assert said["read"] == [{"changed deps": {"other": "modified"}}]
    assert _lock(project) == (laptop.root / "dvc.lock").read_text()
    # windows and folder kept their hashes of DVC 2, and so did made.
    assert 0 < _lock(project).count("hash: md5") < _lock(project).count(" md5: ")


def test_dvc_finds_the_result_under_the_key_that_its_old_lock_makes(project: Project, tmp_path: Path) -> None:
    laptop = project.clone(tmp_path / "laptop", user="ben")
    (laptop.root / "tracked").write_bytes(_WINDOWS)
    for copy in (project, laptop):
        copy.write({"other": "z\n"})
    project.repro()
    laptop.wherry("dvc-remote", "--write").expect(0)
    # Not everything of an old lock can be in a remote of DVC 3; the run cache comes first.
    laptop.dvc("fetch", "--run-cache")

    done = laptop.dvc("repro", "--pull").expect(0)

    assert "Stage 'read' is cached" in done.out
    assert "Running stage 'read'" not in done.out
    assert _lock(project) == _lock(laptop)


def test_dvc_pull_from_the_bucket_alone_brings_what_stays_recorded_as_by_dvc_2(
    project: Project, tmp_path: Path
) -> None:
    project.write({"other": "y\n"})
    project.repro()
    # Only these changed; made and plain keep their hashes of DVC 2, and so does tracked.
    assert [
        f"path: {name}\n      hash: md5" in _lock(project) for name in ("text", "used", "made", "plain")
    ] == [
        True,
        True,
        False,
        False,
    ]
    project.commit()
    laptop = project.clone(tmp_path / "laptop", user="ben")
    laptop.wherry("dvc-remote", "--write").expect(0)

    laptop.dvc("pull").expect(0)

    brought = {
        name: (laptop.root / name).read_bytes() for name in ("text", "made/a", "made/b", "plain", "used")
    }
    assert brought == {
        "text": _WINDOWS + b"y\n",
        "made/a": _WINDOWS,
        "made/b": b"plain\n",
        "plain": b"plain\n",
        "used": _WINDOWS + b"y\n",
    }
    assert (laptop.root / "tracked").read_bytes() == _WINDOWS
    assert laptop.dvc("status", "--json").expect(0).json() == {}
    assert laptop.dvc("status", "--cloud", "--json").expect(0).json() == {}


def test_data_of_dvc_2_is_refused_when_it_changed_and_found_where_dvc_2_pushed_it(
    project: Project, tmp_path: Path
) -> None:
    # The others leave theirs in the bucket.
    own = b"nowhere\r\nelse\r\n"
    (project.root / "tracked").write_bytes(own)
    project.dvc("add", "-q", "tracked").expect(0)
    make_legacy(project.root, ("tracked",), ("tracked.dvc",))
    (project.root / "tracked").write_bytes(b"three\r\n")
    refused = project.wherry("repro").expect(6)
    (project.root / "tracked").write_bytes(own)
    remote = tmp_path / "remote"
    project.dvc("remote", "add", "-d", "old", str(remote)).expect(0)
    project.dvc("push", "-q").expect(0)
    project.commit()
    clone = project.clone(tmp_path / "clone", user="ben")
    lacking = clone.wherry("repro").expect(6)
    clone.dvc("pull", "-q", "tracked.dvc").expect(0)

    assert "tracked.dvc:2" in refused.err
    assert "dvc commit tracked.dvc" in refused.err
    assert "dvc pull tracked.dvc" in lacking.err
    name = hashlib.md5(b"nowhere\nelse\n").hexdigest()
    assert (remote / name[:2] / name[2:]).exists()
    clone.repro()


def test_what_dvc_2_pushed_into_the_bucket_is_taken_over(project: Project, tmp_path: Path) -> None:
    project.write({"other": "nobody has run this\n"})
    project.dvc("repro", "-q").expect(0)
    make_legacy(project.root, _DATA, ("dvc.lock", "tracked.dvc"))
    # The first stage stands as recorded: its outputs are wanted under their hashes of DVC 2, too.
    project.write({"dvc.yaml": _PIPELINE.replace("read: {", "read: {frozen: true, ")})
    project.wherry("dvc-remote", "--write").expect(0)
    project.dvc("push", "-q").expect(0)
    project.commit()
    clone = project.clone(tmp_path / "clone", user="ben")
    before = _lock(clone)

    said = clone.wherry("status", "--dvc", "--json").expect(0).json()
    planned = clone.wherry("status", "--json").expect(0).json()
    run = clone.repro()
    clone.wherry("pull", "used").expect(0)

    assert said == {}
    assert [stage["decision"] for stage in planned["stages"]] == ["frozen", "run"]
    assert states(run) == {"read": ("succeeded", "hit"), "use": ("succeeded", "miss")}
    assert _lock(clone) == before
    assert (clone.root / "used").read_bytes() == _WINDOWS + b"nobody has run this\n"


def test_a_stage_is_at_rest_that_goes_on_from_what_it_left_under_dvc_2(make_project: Make) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  keep: {cmd: cat rows >> log, deps: [rows], outs: [log: {persist: true}]}\n"}
    )
    (project.root / "rows").write_bytes(_WINDOWS)
    project.dvc("repro", "-q").expect(0)
    make_legacy(project.root, ("rows", "log"), ("dvc.lock",))
    project.commit()
    before = _lock(project)

    run = project.repro()

    assert states(run) == {"keep": ("succeeded", "hit")}
    assert (project.root / "log").read_bytes() == _WINDOWS
    assert _lock(project) == before
    assert "Running" not in project.dvc("repro").expect(0).out


def test_data_of_a_cloud_is_read_and_refused_only_where_it_is_needed(make_project: Make) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n"
            "  need: {cmd: cp versioned out, deps: [versioned], outs: [out]}\n"
            "  have: {cmd: cp known out2, deps: [known], outs: [out2]}\n",
            "versioned.dvc": "outs:\n- path: versioned\n  hash: md5\n  cloud:\n    r: {etag: abc, version_id: '1'}\n",
            ".gitignore": "/versioned\n/known\n/out\n/out2\n",
        }
    )
    project.write({"versioned": "1\n", "known": "2\n"})
    known = hashlib.md5(b"2\n").hexdigest()
    project.write(
        {
            "known.dvc": f"outs:\n- path: known\n  hash: md5\n  md5: {known}\n  size: 2\n"
            "  cloud:\n    r: {etag: abc, version_id: '1'}\n"
        }
    )

    project.wherry("lint").expect(0)
    project.wherry("dag").expect(0)
    status = project.wherry("status", "--dvc", "--json").expect(0).json()
    refused = project.wherry("repro", "need").expect(6)

    assert status["versioned.dvc"] == [{"changed outs": {"versioned": "modified"}}]
    assert "known.dvc" not in status
    assert "versioned.dvc:2" in refused.err
    assert "dvc commit versioned.dvc" in refused.err
    assert states(project.repro("have")) == {"have": ("succeeded", "miss")}
