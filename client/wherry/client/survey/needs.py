"""What a project needs to be installed: its requirements or lock file, its Python, its GPU libraries."""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

# The first that is there is meant: a lock file says more than the list that it was made of.
_INSTALLABLE = (
    "uv.lock",
    "poetry.lock",
    "requirements.txt",
    "requirements.in",
    "environment.yml",
    "environment.yaml",
    "pyproject.toml",
)
_OTHERS = (
    "Pipfile.lock",
    "Pipfile",
    "conda-lock.yml",
    "pdm.lock",
    "setup.py",
    "renv.lock",
)
_GPU = frozenset(
    {"torch", "tensorflow", "jax", "cupy", "cudf", "cuml", "numba.cuda", "pycuda", "mxnet", "paddle"}
)
# What these libraries read of the environment by themselves, without which they do not work.
LIBRARY_VARIABLES = {
    "wandb": ("WANDB_API_KEY",),
    "mlflow": ("MLFLOW_TRACKING_URI",),
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "kaggle": ("KAGGLE_USERNAME", "KAGGLE_KEY"),
    "dagshub": ("DAGSHUB_USER_TOKEN",),
    "neptune": ("NEPTUNE_API_TOKEN",),
    "comet_ml": ("COMET_API_KEY",),
}

_EXACT = re.compile(r"(\d+\.\d+)(?:\.\d+)?")
_LOWER_BOUND = re.compile(r"(?:>=|==|~=|\^|~)?\s*(3\.\d+)")
_CONDA_PYTHON = re.compile(r"^\s*-\s*python\s*[=<>~]*=?\s*(3\.\d+)", re.MULTILINE)

# The most exact first.
_PYTHON_FILES = {
    ".python-version": _EXACT,
    "runtime.txt": _EXACT,
    "environment.yml": _CONDA_PYTHON,
    "environment.yaml": _CONDA_PYTHON,
    "pyproject.toml": _LOWER_BOUND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonVersion:
    """The Python that a project asks for."""

    version: str
    """Two numbers: 3.11."""
    source: str
    """Where it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """The file that says what to install."""

    file: str
    installable: bool
    """Whether it is of a kind that services install."""


def find_requirements(files: Collection[str], read: Callable[[str], str]) -> Requirements | None:
    """Find the file that says what to install; `read` gives the text of one of the project's files."""
    for name in _INSTALLABLE:
        if name in files and (name != "pyproject.toml" or _is_project(read(name))):
            return Requirements(file=name, installable=True)
    other = next((name for name in _OTHERS if name in files), None)
    return Requirements(file=other, installable=False) if other else None


def find_python(files: Collection[str], read: Callable[[str], str]) -> PythonVersion | None:
    """Find the version that the project asks for; `read` gives the text of one of its files."""
    for name, pattern in _PYTHON_FILES.items():
        if name in files:
            text = read(name)
            found = pattern.search(_declared_python(text) if name == "pyproject.toml" else text)
            if found:
                return PythonVersion(version=found[1], source=name)
    return None


def gpu_libraries(modules: Iterable[str]) -> list[str]:
    """Name the libraries that want a GPU, of those that are imported."""
    tops = {module.partition(".")[0] for module in modules} | set(modules)
    return sorted(tops & _GPU)


def _declared_python(text: str) -> str:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ""
    project = document.get("project", {})
    poetry = document.get("tool", {}).get("poetry", {}) if isinstance(document.get("tool"), dict) else {}
    declared = project.get("requires-python") if isinstance(project, dict) else None
    if declared is None and isinstance(poetry, dict):
        dependencies = poetry.get("dependencies", {})
        declared = dependencies.get("python") if isinstance(dependencies, dict) else None
    return str(declared or "")


def _is_project(text: str) -> bool:
    """Whether a pyproject.toml is that of a package, or lists what is needed: many only hold settings of tools."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    tool = document.get("tool")
    return "project" in document or (isinstance(tool, dict) and "poetry" in tool)
