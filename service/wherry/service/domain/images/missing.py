"""What a failed stage lacked in its image or environment, by what it wrote, and which setting would bring it."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from wherry.service.domain.images.image import DockerfileRecipe, Image, InstallRecipe
from wherry.service.domain.paths import ProjectPath

COMMAND_NOT_FOUND = 127
"""What shells end with when a program is not there."""

LISTS = (
    "requirements.txt",
    "uv.lock",
    "poetry.lock",
    "pyproject.toml",
    "environment.yml",
    "environment.yaml",
)
"""Files at the top of a project from which packages can be installed, what is preferred first."""

# Lists under other names: requirements/base.txt, requirements-dev.txt, reqs.txt, conda.yml.
_OTHER_LIST = re.compile(
    r"(?:.*/)?(?:reqs?|requirements?)(?:[-_.][\w.-]*)?\.txt|(?:.*/)?requirements/[\w.-]+\.txt|(?:conda|env)(?:[-_.][\w.-]*)?\.ya?ml",
    re.IGNORECASE,
)

# They run a command in an environment of their own, and a stage's packages are in its image.
_ENVIRONMENT_TOOLS = frozenset(
    {"poetry", "uv", "pipenv", "pdm", "hatch", "rye", "conda", "mamba", "micromamba"}
)

_MODULE = re.compile(
    r"(?:ModuleNotFoundError|ImportError|python[\d.]*): No module named '?(?P<name>[\w.]+)'?"
)
# R's quotation marks depend on the locale.
_R_PACKAGE = re.compile(r"there is no package called \W(?P<name>[\w.]+)")
# Python's, bash's and dash's. What is not written in capitals is a variable of a script's own.
_ENVIRON = re.compile(r'File "(?:<frozen os>|.*/os\.py)", line \d+, in __getitem__')
_KEY = re.compile(r"^KeyError: '(?P<name>[A-Za-z_]\w*)'$")
_UNSET = re.compile(r": (?P<name>[A-Z_][A-Z0-9_]*): (?:unbound variable|parameter not set)$")
# Between the place and the error Python shows the line.
_LINES_BETWEEN = 3
_PROGRAM = re.compile(
    r"(?:^|: )(?P<name>[^\s:]+): (?:command )?not found$|exec: \"?(?P<exec>[^\s\":]+)\"?: executable file not found"
)


@dataclass(frozen=True, slots=True)
class Missing:
    """What was not there, and what to do."""

    what: str
    """Such as "no module named 'pandas'"."""
    advice: str


def find_missing(
    lines: Iterable[str], exit_code: int, image: Image, files: Collection[ProjectPath]
) -> Missing | None:
    """Look for it in the last lines that a stage wrote; None: it failed for something else."""
    written = list(lines)
    for number, line in reversed(list(enumerate(written))):
        variable = _missing_variable(line.strip(), written[max(0, number - _LINES_BETWEEN) : number])
        if variable is not None:
            return variable
        module = _MODULE.search(line)
        if module is not None:
            return _missing_module(module["name"].partition(".")[0], image, files)
        package = _R_PACKAGE.search(line)
        if package is not None:
            what = f"the R package {package['name']!r} is not there"
            return Missing(what, f"{_name(image)} lacks it: {_OTHER_IMAGE}.")
        program = _PROGRAM.search(line.strip()) if exit_code == COMMAND_NOT_FOUND else None
        if program is not None:
            return _missing_program(program["name"] or program["exec"], image, files)
    return None


def _missing_variable(line: str, before: Iterable[str]) -> Missing | None:
    found = _UNSET.search(line)
    if found is None and any(_ENVIRON.search(earlier) for earlier in before):
        found = _KEY.search(line)
    if found is None:
        return None
    name = found["name"]
    return Missing(
        f"no environment variable {name!r}",
        f'Stages get no variables of the machine that submits: write {name} = "…" under [defaults.env] of .dvc/wherry.toml. '
        f'If it is a secret: `wherry secret set {name}`, and secrets = ["{name}"] under [defaults].',
    )


_OTHER_IMAGE = "name an image that has it in the setting 'image', or a Dockerfile of the project in 'build'"


def _missing_module(name: str, image: Image, files: Collection[ProjectPath]) -> Missing:
    what = f"no module named {name!r}"
    own = _own_module(name, files)
    if own is not None:
        return Missing(
            what,
            f"{own} is in the project, but Python looks only beside the script that it was given: set "
            f'env = {{PYTHONPATH = "{own.rpartition("/")[0] or "."}"}}, seen from the stage\'s wdir.',
        )
    return Missing(what, _advice(name, image, files))


def _missing_program(name: str, image: Image, files: Collection[ProjectPath]) -> Missing:
    what = f"no program {name!r}"
    if name == "python":
        return Missing(what, f"{_name(image)} may have 'python3'; else {_OTHER_IMAGE}.")
    if name in _ENVIRONMENT_TOOLS:
        return Missing(
            what,
            f"A stage has its packages in its image, where nothing is to be activated: leave '{name} run' out of the "
            f"command. {_advice(name, image, files)}",
        )
    if "/" in name or name in files:
        return Missing(what, f"{name!r} is looked for in the stage's wdir: paths of dvc.yaml are from there.")
    advice = _advice(name, image, files)
    if isinstance(image.recipe, DockerfileRecipe):
        return Missing(what, advice)
    return Missing(what, f"{advice} For a program that is no Python package {_OTHER_IMAGE}.")


def _advice(name: str, image: Image, files: Collection[ProjectPath]) -> str:
    match image.recipe:
        case InstallRecipe():
            listed_in = image.name.partition(" on ")[0]
            return f"Its image has what {listed_in} lists: add what brings {name!r} there."
        case DockerfileRecipe():
            return f"Its image is what {image.name} describes: install {name!r} there."
    others = sorted((path for path in files if _OTHER_LIST.fullmatch(path)), key=_depth)
    listed = next((path for path in (*LISTS, *others) if path in files), None)
    if listed is not None:
        return (
            f'{_name(image)} has none of the project\'s packages: with requirements = "{listed}" under [defaults] of '
            ".dvc/wherry.toml they are installed, once."
        )
    return (
        f"{_name(image)} lacks it: list it in a requirements.txt and name that in the setting 'requirements', or "
        f"{_OTHER_IMAGE}."
    )


def _own_module(name: str, files: Collection[ProjectPath]) -> ProjectPath | None:
    """The project's own file or folder of that name, the one nearest to the top."""
    single = sorted((path for path in files if path.rpartition("/")[2] == f"{name}.py"), key=_depth)
    inside = {
        ProjectPath("/".join(parts[: parts.index(name) + 1]))
        for path in files
        if path.endswith(".py") and name in (parts := path.split("/"))[:-1]
    }
    return next(iter(sorted([*single, *inside], key=_depth)), None)


def _depth(path: str) -> tuple[int, str]:
    return path.count("/"), path


def _name(image: Image) -> str:
    return f"The image {image.name}"
