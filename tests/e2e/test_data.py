"""Inputs and outputs that git does not keep: tracked, ignored, made, hidden."""

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.colliding import colliding_pair
from tests.e2e.harness import Project, states

Make = Callable[[dict[str, str]], Project]


def test_changed_tracked_data_is_refused_until_it_is_committed(make_project: Make) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n  use: {cmd: cp data.csv out, deps: [data.csv], outs: [out]}\n",
        }
    )
    project.write({"data.csv": "1"})
    project.dvc("add", "-q", "data.csv").expect(0)
    project.repro()
    project.write({"data.csv": "2"})

    refused = project.wherry("repro").expect(6)
    project.dvc("commit", "-q", "-f", "data.csv.dvc").expect(0)

    assert "data.csv.dvc" in refused.err
    assert "dvc commit" in refused.err
    assert states(project.repro()) == {"use": ("succeeded", "miss")}


def as_dvc_2_wrote_it(file: Path) -> None:
    file.write_text(
        "".join(line for line in file.read_text().splitlines(keepends=True) if "hash: md5" not in line)
    )


def test_data_tracked_by_dvc_2_is_used_where_its_hash_is_that_of_the_content(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  use: {cmd: cat one many/* > out, deps: [one, many], outs: [out]}\n"}
    )
    project.write({"one": "1\n", "many/a": "a\n", "many/b": "b\n"})
    project.dvc("add", "-q", "one", "many").expect(0)
    for name in ("one.dvc", "many.dvc"):
        as_dvc_2_wrote_it(project.root / name)
    # The oldest files record no sizes either.
    old = (project.root / "many.dvc").read_text().splitlines(keepends=True)
    (project.root / "many.dvc").write_text(
        "".join(line for line in old if "size" not in line and "nfiles" not in line)
    )
    project.commit()

    first = project.repro()
    second = project.clone(tmp_path / "without data", user="ben").repro()

    assert states(first) == {"use": ("succeeded", "miss")}
    assert states(second) == {"use": ("succeeded", "hit")}
    assert second["stages"][0]["deps"] == first["stages"][0]["deps"]
    assert [dep["nfiles"] for dep in second["stages"][0]["deps"]] == [2, None]


def test_parameters_that_a_stage_makes_are_read_inside_its_folder(make_project: Make) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n"
            "  tune: {cmd: 'mkdir tuned && cp start.json tuned/best.json', deps: [start.json], outs: [tuned]}\n"
            "  use: {cmd: cp tuned/best.json used, params: [tuned/best.json: [lr]], outs: [used]}\n",
            "start.json": '{"lr": 0.5}',
        }
    )

    stages = {stage["name"]: stage for stage in project.repro()["stages"]}

    assert stages["use"]["params"] == {"tuned/best.json": {"lr": 0.5}}


def test_an_ignored_file_that_a_stage_needs_is_sent(make_project: Make) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n  use: {cmd: cat raw/* > out, deps: [raw], outs: [out]}\n",
            ".gitignore": "/raw\n",
            "raw/one": "ignored by git\n",
        }
    )

    project.repro("--pull", "all")

    assert (project.root / "out").read_text() == "ignored by git\n"


def test_dvcignore_hides_from_outputs_what_it_hides_for_dvc(make_project: Make, tmp_path: Path) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n"
            "  write:\n"
            "    cmd: mkdir -p out/skip out/sub && echo 1 | tee out/kept out/a.log out/skip/x out/sub/b.log out/keep.log\n"
            "    deps: [a]\n"
            "    outs: [out]\n",
            "a": "hidden",
            ".dvcignore": "*.log\n!keep.log\nskip/\n",
        }
    )
    laptop = project.clone(tmp_path / "laptop", user="ben")

    first = project.repro()
    laptop.dvc("repro").expect(0)
    project.write({".dvcignore": "# nothing\n"})
    second = project.repro()

    assert (laptop.root / "dvc.lock").read_text().count("nfiles: 2") == 1
    assert first["stages"][0]["outs"][0]["nfiles"] == 2
    assert first["stages"][0]["outs"][0]["md5"] in (laptop.root / "dvc.lock").read_text()
    assert states(second) == {"write": ("succeeded", "miss")}, "other patterns, other output"
    assert second["stages"][0]["outs"][0]["nfiles"] == 5


def test_a_large_file_goes_to_the_bucket_itself_and_comes_from_there(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  use: {cmd: wc -c < big > out, deps: [big], outs: [out]}\n"}
    )
    (project.root / "big").write_bytes(random.Random(7).randbytes(5 * 1024 * 1024))
    project.dvc("add", "-q", "big").expect(0)
    project.commit()
    laptop = project.clone(tmp_path / "laptop", user="ben")

    done = project.wherry("repro", "-v").expect(0)
    pulled = laptop.wherry("pull", "-v", "big").expect(0)

    assert "1 large file straight to the bucket" in done.err
    assert "1 large file straight from the bucket" in pulled.err
    assert (laptop.root / "big").read_bytes() == (project.root / "big").read_bytes()
    assert laptop.dvc("status", "big.dvc").expect(0).out == "Data and pipelines are up to date.\n"


def test_a_large_file_of_another_content_and_the_same_md5_is_refused_with_its_name(
    make_project: Make, tmp_path: Path
) -> None:
    first, second = colliding_pair(5 * 1024 * 1024)
    pipeline = {"dvc.yaml": "stages:\n  use: {cmd: sha256sum < big > out, deps: [big], outs: [out]}\n"}
    laptop = make_project(pipeline)
    (laptop.root / "big").write_bytes(first)
    laptop.dvc("add", "-q", "big").expect(0)
    laptop.wherry("dvc-remote", "--write").expect(0)
    laptop.dvc("push", "-q", "big").expect(0)
    project = laptop.clone(tmp_path / "other", user="ben")
    (project.root / "big").write_bytes(second)

    refused = project.wherry("repro").expect(255)
    (project.root / "big").write_bytes(first)
    run = project.repro("--pull", "all")

    assert "big: the store has another content" in refused.err
    assert hashlib.md5(second).hexdigest() in refused.err
    assert states(run) == {"use": ("succeeded", "miss")}
    assert (project.root / "out").read_text().startswith(hashlib.sha256(first).hexdigest())


def test_data_that_only_dvcs_cache_has_is_sent_from_there(make_project: Make) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  use: {cmd: cat data/a one > out, deps: [data, one], outs: [out]}\n"}
    )
    project.write({"data/a": "first ", "data/sub ü/-b\nc": "a name of its own", "one": "of DVC 2"})
    project.dvc("add", "-q", "data", "one").expect(0)
    cache = project.root / ".dvc/cache"
    md5 = hashlib.md5(b"of DVC 2").hexdigest()
    (cache / md5[:2]).mkdir(exist_ok=True)
    (cache / "files/md5" / md5[:2] / md5[2:]).rename(cache / md5[:2] / md5[2:])
    shutil.rmtree(project.root / "data")
    (project.root / "one").unlink()
    damaged = (
        cache / "files/md5" / hashlib.md5(b"first ").hexdigest()[:2] / hashlib.md5(b"first ").hexdigest()[2:]
    )
    damaged.chmod(0o644)
    damaged.write_text("other!")

    refused = project.wherry("repro").expect(6)
    damaged.write_text("first ")
    run = project.repro("--pull", "all")

    assert "neither in this folder nor in the store: data (data.dvc" in refused.err
    assert states(run) == {"use": ("succeeded", "miss")}
    assert (project.root / "out").read_text() == "first of DVC 2"
    assert not (project.root / "data").exists()


def test_what_was_pulled_is_in_dvcs_cache(make_project: Make, tmp_path: Path) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n"
            "  make: {cmd: 'mkdir -p out/sub && echo 1 > out/a && echo 2 > out/sub/b && echo 1 > c',"
            " deps: [in], outs: [out, c]}\n",
            "in": "what was pulled is cached",
        }
    )
    project.repro()
    laptop = project.clone(tmp_path / "laptop", user="ben")
    laptop.dvc("config", "cache.type", "hardlink,symlink").expect(0)
    laptop.wherry("apply", "-f", project.wherry("ps", "--json").json()["runs"][0]["id"]).expect(0)

    laptop.wherry("pull").expect(0)
    cached = [path for path in (laptop.root / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    (laptop.root / "c").unlink()
    shutil.rmtree(laptop.root / "out")
    before = laptop.dvc("status").out
    laptop.dvc("checkout").expect(0)
    after = laptop.dvc("status").expect(0).out
    again = laptop.wherry("pull").expect(0)

    assert {path.stat().st_mode & 0o777 for path in cached} == {0o444}
    assert len(cached) == 3, "two contents and the list of the folder"
    assert "deleted" in before
    assert after == "Data and pipelines are up to date.\n"
    assert (laptop.root / "out/sub/b").read_text() == "2\n"
    assert (laptop.root / "out/sub/b").stat().st_nlink == 2
    assert "3 right already" in again.out


def test_names_that_shells_and_terminals_stumble_over_arrive_as_they_are(make_project: Make) -> None:
    names = ["-rf", "new\nline", "größe \U0001f600", "n" * 255]
    project = make_project(
        {
            "dvc.yaml": "stages:\n  copy: {cmd: mkdir out && cp -- src/* out/, deps: [src], outs: [out]}\n",
            **{f"src/{name}": name for name in names},
        }
    )

    project.repro()
    project.wherry("pull").expect(0)

    assert {path.name: path.read_text() for path in (project.root / "out").iterdir()} == {
        name: name for name in names
    }
    assert project.dvc("status", "--json").expect(0).json() == {}


@pytest.mark.parametrize("hiding", [".dvcignore", ".gitignore", ".git/info/exclude"])
def test_values_that_are_hidden_are_read_as_dvc_reads_them(make_project: Make, hiding: str) -> None:
    project = make_project(
        {
            "dvc.yaml": "vars: [v.yaml]\n"
            "stages:\n  a: {cmd: 'cat p.yaml && echo ${lr} ${b} > o', params: [lr, p.yaml: [c]], deps: [p.yaml], outs: [o]}\n",
            "params.yaml": "lr: 1\n",
            "v.yaml": "b: 2\n",
            "p.yaml": f"c: 3 # {hiding}\n",
            hiding: "params.yaml\nv.yaml\np.yaml\n",
        }
    )

    project.wherry("lint").expect(0)
    assert states(project.repro()) == {"a": ("succeeded", "miss")}
    project.wherry("pull").expect(0)

    assert (project.root / "o").read_text() == "1 2\n"
    assert project.dvc("status", "--json").expect(0).json() == {}
    project.write({"params.yaml": "lr: 2\n"})
    assert project.wherry("status", "--dvc", "--json").expect(0).json() == (
        project.dvc("status", "--json").expect(0).json()
    )
    project.repro("-S", "lr=7")
    assert (project.root / "params.yaml").read_text() == "lr: 7\n"
