"""Inputs and outputs that git does not keep: tracked, ignored, made, hidden."""

from collections.abc import Callable
from pathlib import Path

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
