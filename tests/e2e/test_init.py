"""`wherry init` on a project that was never made for Wherry, and what it makes possible."""

import tomllib
from pathlib import Path

from tests.e2e.harness import STAGE_IMAGE, Project, Service, git

_FILES = {
    "dvc.yaml": """
stages:
  prepare:
    cmd: python3 prepare.py
    deps: [prepare.py]
    outs: [data/numbers.txt]
  train:
    cmd: python3 src/stages/train.py
    deps: [src/stages/train.py, data/numbers.txt]
    metrics: [metrics.json: {cache: false}]
""",
    "prepare.py": "import pathlib\npathlib.Path('data').mkdir(exist_ok=True)\n"
    "pathlib.Path('data/numbers.txt').write_text('1 2 3')\n",
    "src/features/__init__.py": "def total(text):\n    return sum(map(int, text.split()))\n",
    "src/stages/train.py": "import json, os\nfrom features import total\n"
    "level = os.getenv('LOG_LEVEL', 'info')\n"
    "json.dump({'total': total(open('data/numbers.txt').read())}, open('metrics.json', 'w'))\n",
}


def test_a_project_of_ones_own_runs_after_init_alone(tmp_path: Path, service: Service) -> None:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    project = Project(root, service)
    project.dvc("init", "-q").expect(0)
    project.write(_FILES)
    project.commit()
    # Before: the service has no image for it, and says so.
    assert "image" in project.wherry("status").expect(6).err
    looked = project.wherry("init", "--dry", "--json").expect(0).json()
    assert not looked["written"]
    assert not (root / ".dvc" / "wherry.toml").exists()
    assert looked["undeclared"] == [{"stage": "train", "paths": ["src/features/__init__.py"], "outputs": []}]
    done = project.wherry("init", "--image", STAGE_IMAGE, "--write-remote").expect(0)
    assert "wherry repro" in done.err
    settings = tomllib.loads((root / ".dvc" / "wherry.toml").read_text())
    assert settings == {"defaults": {"image": STAGE_IMAGE, "env": {"PYTHONPATH": "/workspace/src"}}}
    project.repro()
    assert (root / "metrics.json").read_text() == '{"total": 6}'
    project.dvc("pull").expect(0)
    assert (root / "data" / "numbers.txt").read_text() == "1 2 3"
    # What somebody has changed since is not lost.
    assert (
        project.wherry("init").expect(255).err.splitlines()[0].endswith(".dvc/wherry.toml is there already")
    )


def test_without_a_service_the_files_alone_are_looked_at(tmp_path: Path, service: Service) -> None:
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / "run.py").write_text(
        "import os, torch\nif __name__ == '__main__':\n    print(os.environ['API_TOKEN'])\n"
    )
    nobody = Service(tmp_path / "no-home")
    said = nobody.wherry("init", "--json", cwd=root).expect(0).json()
    assert said["written"]
    assert said["gpu_libraries"] == ["torch"]
    assert [finding["id"] for finding in said["findings"]] == [
        "NO_PIPELINE",
        "NO_REQUIREMENTS",
        "SECRETS",
    ]
    assert said["next"][0] == "wherry up"
    # What a service of this version can do is not denied only because there is none.
    assert '# gpus = "all"' in said["text"]
    assert '# secrets = ["API_TOKEN"]' in said["text"]
    (root / "requirements.txt").write_text("torch==2.4.0\n")
    again = nobody.wherry("init", "--json", "--force", cwd=root).expect(0).json()
    assert again["settings"]["requirements"] == "requirements.txt"
    assert "NO_REQUIREMENTS" not in [finding["id"] for finding in again["findings"]]
    readable = service.wherry("init", "--json", "--force", cwd=root).expect(0).json()
    assert readable["text"] == again["text"]
    # A plain `wherry repro` would say that there is nothing here.
    (root / "sub").mkdir()
    (root / "sub" / "dvc.yaml").write_text("stages:\n  a: {cmd: x}\n")
    assert "wherry repro" in again["next"]
    assert "wherry repro -P" in service.wherry("init", "--json", "--force", cwd=root).expect(0).json()["next"]
