"""What has to be installed for a project, and which content that depends on."""

import asyncio
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from wherry.service.domain.blob import BlobHash, digest_content
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.images.image import Image, InstallRecipe
from wherry.service.domain.paths import ProjectPath, Surroundings
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.ports.workspaces import NodeCache, NodeLease
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.resolve_requirements import ResolveRequirements

_BASE = Image(name="python:3.11", digest="python@sha256:aa", platform="linux/amd64")
_SETTING = Place(path="dvc.yaml", line=5)

_PYPROJECT = '[project]\nname = "own"\ndependencies = ["numpy>1"]\n[build-system]\nrequires = ["hatchling"]\n'
_DYNAMIC = '[project]\nname = "own"\ndynamic = ["dependencies"]\n'
_UV = (
    'version = 1\n[[package]]\nname = "own"\nsource = { editable = "." }\ndependencies = [{ name = "numpy" }]\n'
    '[[package]]\nname = "numpy"\nversion = "2"\nsource = { registry = "https://pypi.org/simple" }\n'
)


class _Node(NodeCache):
    """Holds the contents of one project."""

    def __init__(self, files: dict[str, str]) -> None:
        self.contents = {str(digest_content(text.encode()).hash): text.encode() for text in files.values()}

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        return self.contents[digest_hash]

    def lease(self) -> AbstractContextManager[NodeLease]:
        raise AssertionError

    async def make_room(self, size_bytes: int) -> None:
        raise AssertionError

    def holds(self, digest_hash: str) -> bool:
        return digest_hash in self.contents

    async def path(self, digest_hash: str) -> Path:
        raise AssertionError

    async def adopt(self, digest_hash: str, source: Path) -> None:
        raise AssertionError


def resolve(files: dict[str, str], *listed_in: str, around: Surroundings = Surroundings()) -> InstallRecipe:  # noqa: B008 - frozen
    entries = {
        ProjectPath(path): SnapshotFile(
            hash=BlobHash(digest_content(text.encode()).hash), size_bytes=len(text), executable=False
        )
        for path, text in files.items()
    }
    snapshot = Snapshot(files=entries, data={}, around=around)
    resolving = ResolveRequirements(read=ReadBlobs(_Node(files)), installer="pip 1")
    image = asyncio.run(resolving(snapshot, [ProjectPath(path) for path in listed_in], _BASE, _SETTING))
    assert isinstance(image.recipe, InstallRecipe)
    assert image.digest == f"wherry/requirements:{image.recipe.key}"
    return image.recipe


def steps(recipe: InstallRecipe) -> list[str]:
    """The lines of the script that differ between recipes."""
    lines = recipe.script.splitlines()
    return [line for line in lines if line.startswith(("pip_install ", "conda_install ", "add_paths "))]


def test_all_that_a_list_speaks_of_counts_and_nothing_else() -> None:
    files = {
        "requirements.txt": "-r env/a.txt\n-c env/c.txt\n./lib\nwheels/x-1-py3-none-any.whl\n",
        "env/a.txt": "numpy\n",
        "env/c.txt": "numpy==1\n",
        "lib/pyproject.toml": "",
        "lib/data/x.bin": "1",
        "wheels/x-1-py3-none-any.whl": "zip",
        "wheels/other.whl": "zip",
        "src/train.py": "",
    }
    recipe = resolve(files, "requirements.txt")
    assert set(recipe.files) == set(files) - {"wheels/other.whl", "src/train.py"}
    assert steps(recipe) == ["pip_install -r requirements.txt"]
    assert resolve({**files, "src/train.py": "new"}, "requirements.txt").key == recipe.key
    assert resolve({**files, "lib/data/x.bin": "2"}, "requirements.txt").key != recipe.key


def test_of_an_editable_project_the_metadata_counts_and_which_folders_have_sources() -> None:
    files = {
        "requirements.txt": "-e .\n",
        "setup.py": "1",
        "src/own/__init__.py": "",
        "README.md": "",
        "data.csv": "",
    }
    recipe = resolve(files, "requirements.txt")
    assert set(recipe.files) == {"requirements.txt", "setup.py"}
    assert set(recipe.present) == {"src/own/__init__.py", "README.md"}
    assert resolve({**files, "src/own/__init__.py": "new"}, "requirements.txt").key == recipe.key
    assert resolve({**files, "setup.py": "2"}, "requirements.txt").key != recipe.key
    assert resolve({**files, "src/other/__init__.py": ""}, "requirements.txt").key != recipe.key


def test_pyproject_is_installed_without_its_backend_where_it_lists_its_needs() -> None:
    files = {"pyproject.toml": _PYPROJECT, "src/own/__init__.py": ""}
    recipe = resolve(files, "pyproject.toml")
    assert recipe.generated == {"requirements-0.txt": b"numpy>1\n"}
    assert steps(recipe) == [
        "pip_install -r /tmp/wherry/requirements-0.txt",
        "add_paths /workspace/src /workspace",
    ]
    linted = {**files, "pyproject.toml": f"{_PYPROJECT}[tool.ruff]\nline-length = 80\n"}
    assert resolve(linted, "pyproject.toml").key == recipe.key
    assert steps(resolve({"pyproject.toml": _DYNAMIC}, "pyproject.toml")) == ["pip_install --editable ."]


def test_a_lock_is_installed_where_the_project_lies_in_its_repository() -> None:
    around = Surroundings("/home/ana/repo/sub", 1)
    files = {"uv.lock": _UV, "pyproject.toml": _PYPROJECT}
    recipe = resolve(files, "uv.lock", around=around)
    assert recipe.generated == {"requirements-0.txt": b"numpy\n", "constraints-0.txt": b"numpy==2\n"}
    assert steps(recipe) == [
        "pip_install -r /tmp/wherry/requirements-0.txt -c /tmp/wherry/constraints-0.txt",
        "add_paths /workspace/sub",
    ]
    assert "\ncd /workspace/sub\n" in recipe.script
    assert resolve(files, "uv.lock").key != recipe.key


def test_an_environment_is_installed_by_its_own_tool_with_what_it_includes() -> None:
    files = {
        "environment.yml": "dependencies:\n  - numpy\n  - pip:\n    - -r requirements.txt\n    - ./lib\n",
        "requirements.txt": "six\n",
        "lib/setup.py": "",
    }
    recipe = resolve(files, "environment.yml")
    assert set(recipe.files) == set(files)
    assert steps(recipe) == ["conda_install environment.yml"]


@pytest.mark.parametrize(
    ("files", "listed_in", "place"),
    [
        ({}, "requirements.txt", "dvc.yaml:5"),
        ({"setup.py": ""}, "setup.py", "dvc.yaml:5"),
        ({"requirements.txt": "six\n-r gone.txt\n"}, "requirements.txt", "requirements.txt:2"),
        ({"requirements.txt": "./gone\n"}, "requirements.txt", "requirements.txt:1"),
        ({"requirements.txt": "-e ../up\n"}, "requirements.txt", "requirements.txt:1"),
        ({"e.yml": "dependencies:\n- pip:\n  - -r gone.txt\n"}, "e.yml", "e.yml:3:5"),
        ({"pyproject.toml": "["}, "pyproject.toml", "pyproject.toml"),
    ],
)
def test_mistakes_have_a_place(files: dict[str, str], listed_in: str, place: str) -> None:
    with pytest.raises(PipelineInvalid) as error:
        resolve(files, listed_in)
    assert str(error.value.place) == place


def test_files_that_include_each_other_are_read_once() -> None:
    recipe = resolve({"a.txt": "-r b.txt\n", "b.txt": "-r a.txt\nsix\n"}, "a.txt", "b.txt")
    assert set(recipe.files) == {"a.txt", "b.txt"}
