"""What a failed stage lacked, by what it wrote."""

import pytest

from wherry.service.domain.images.image import Image, InstallRecipe, installed_image
from wherry.service.domain.images.missing import Missing, find_missing
from wherry.service.domain.paths import ProjectPath

_IMAGE = Image(name="team/base", digest="sha256:aa", platform="linux/amd64")
_INSTALLED = installed_image(InstallRecipe(base=_IMAGE, script="", files={}), "reqs.txt")


def _find(*lines: str, code: int = 1, image: Image = _IMAGE, files: tuple[str, ...] = ()) -> Missing | None:
    return find_missing(lines, code, image, {ProjectPath(path) for path in files})


@pytest.mark.parametrize(
    ("line", "code", "what"),
    [
        ("ModuleNotFoundError: No module named 'pandas'", 1, "no module named 'pandas'"),
        ("ModuleNotFoundError: No module named 'sklearn.svm'", 1, "no module named 'sklearn'"),
        ("/usr/bin/python3: No module named dvc", 1, "no module named 'dvc'"),
        ("bash: line 1: Rscript: command not found", 127, "no program 'Rscript'"),
        ("sh: 1: jq: not found", 127, "no program 'jq'"),
        (
            "Error in library(dplyr) : there is no package called 'dplyr'",
            1,
            "the R package 'dplyr' is not there",
        ),
        ("bash: line 1: API_TOKEN: unbound variable", 127, "no environment variable 'API_TOKEN'"),
        ("scripts/get.sh: 3: API_TOKEN: parameter not set", 2, "no environment variable 'API_TOKEN'"),
    ],
)
def test_it_is_found_in_what_programs_write(line: str, code: int, what: str) -> None:
    found = _find("Traceback", line, "", code=code)
    assert found is not None
    assert found.what == what


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("KeyError: 'pandas'", 1),
        ("x.sh: line 2: total: unbound variable", 1),
        ("warning: a.txt: not found", 1),
        ("page: not found, sorry", 127),
        ("", 127),
    ],
)
def test_other_failures_are_left_alone(line: str, code: int) -> None:
    assert _find(line, code=code) is None


@pytest.mark.parametrize("module", ["<frozen os>", "/usr/lib/python3.9/os.py"])
def test_a_variable_that_python_asks_the_environment_for(module: str) -> None:
    found = _find(
        '  File "/workspace/src/common.py", line 7, in token',
        '    return os.environ["API_TOKEN"]',
        f'  File "{module}", line 679, in __getitem__',
        "    raise KeyError(key) from None",
        "KeyError: 'API_TOKEN'",
    )
    assert found is not None
    assert found.what == "no environment variable 'API_TOKEN'"
    assert "`wherry secret set API_TOKEN`" in found.advice
    assert "[defaults.env]" in found.advice


def test_the_file_that_the_project_has_is_named() -> None:
    line = "ModuleNotFoundError: No module named 'pandas'"
    advice = [
        found.advice
        for found in (
            _find(line, files=("uv.lock", "pyproject.toml")),
            _find(line),
            _find(line, image=_INSTALLED, files=("reqs.txt",)),
        )
        if found is not None
    ]
    assert 'requirements = "uv.lock"' in advice[0]
    assert "list it in a requirements.txt" in advice[1]
    assert "what reqs.txt lists: add what brings 'pandas'" in advice[2]


@pytest.mark.parametrize(
    ("files", "listed"),
    [
        (("requirements-dev.txt", "a.txt"), "requirements-dev.txt"),
        (("requirements/base.txt", "sub/reqs.txt"), "requirements/base.txt"),
        (("conda.yaml", "data/required.txt"), "conda.yaml"),
    ],
)
def test_a_list_under_another_name_is_found(files: tuple[str, ...], listed: str) -> None:
    found = _find("ModuleNotFoundError: No module named 'pandas'", files=files)
    assert found is not None
    assert f'requirements = "{listed}"' in found.advice


def test_what_runs_a_command_in_an_environment_is_to_be_left_out() -> None:
    found = _find("bash: line 1: poetry: command not found", code=127, files=("poetry.lock",))
    assert found is not None
    assert "leave 'poetry run' out of the command" in found.advice
    assert 'requirements = "poetry.lock"' in found.advice


@pytest.mark.parametrize(
    ("files", "folder"),
    [(("src/lib/a.py",), "src"), (("lib/a.py", "x/lib/b.py"), "."), (("tools/lib.py",), "tools")],
)
def test_a_module_of_the_project_needs_a_path_and_no_package(files: tuple[str, ...], folder: str) -> None:
    found = _find("ModuleNotFoundError: No module named 'lib'", files=files)
    assert found is not None
    assert f'env = {{PYTHONPATH = "{folder}"}}' in found.advice
