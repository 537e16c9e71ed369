"""How the packages that a project lists are installed on an image: kinds of files, and the script."""

import posixpath
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath

WORKSPACE_AT = "/workspace"
"""Where the project is, in the container that installs as in those of stages: what is imported from there stays found."""

TOOLS_AT = "/tmp/wherry"  # noqa: S108 - inside a container, in a volume of its own
"""Where the installer and the generated files are while packages are installed; no part of the image."""

PYPROJECT = "pyproject.toml"


class Kind(StrEnum):
    """What lists the packages."""

    TXT = "requirements file"
    PYPROJECT = "pyproject.toml"
    UV_LOCK = "uv.lock"
    POETRY_LOCK = "poetry.lock"
    CONDA = "conda environment"


def kind_of(path: ProjectPath, place: Place) -> Kind:
    """Tell by a file's name what it is.

    Raises:
        PipelineInvalid: if it is nothing that packages can be installed from.
    """
    name = path.rpartition("/")[2]
    for kind in (Kind.PYPROJECT, Kind.UV_LOCK, Kind.POETRY_LOCK):
        if name == kind.value:
            return kind
    if name.endswith((".yml", ".yaml")):
        return Kind.CONDA
    if name.endswith((".txt", ".in", ".pip")):
        return Kind.TXT
    raise PipelineInvalid(
        f"packages cannot be installed from {path!r}",
        hint="The setting 'requirements' takes requirements.txt, pyproject.toml, uv.lock, poetry.lock and "
        "environment.yml; anything else can be done by a Dockerfile: the setting 'build'.",
        place=place,
    )


# Nothing of this may end up in the image: what runs in it is the business of its stages.
_HEAD = """\
set -eu
umask 022
export HOME={tools}/home
mkdir -p "$HOME"
cd {folder}
pip_install() {{
  python=$(command -v python || command -v python3) || {{
    echo "the image has no Python: name another one in the setting 'image'" >&2; exit 90
  }}
  if "$python" -c 'import sys; sys.exit(sys.version_info < ({python_min}))'; then
    "$python" {tools}/installer/pip install "$@"
  else
    "$python" -m pip install "$@"
  fi
}}
conda_install() {{
  for tool in micromamba mamba conda; do
    if command -v "$tool" >/dev/null; then
      "$tool" env update --yes --name base --file "$1" 2>&1 || exit 1
      return
    fi
  done
  echo "the image has neither micromamba, mamba nor conda, which $1 needs" >&2; exit 91
}}
add_paths() {{
  python=$(command -v python || command -v python3)
  where=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  mkdir -p "$where"
  printf '%s\\n' "$@" >"$where/wherry-project.pth"
}}
"""

# What the newest pip needs; older images use the one that they have.
PYTHON_MIN = "3, 10"


def install_script(steps: Iterable[str], root_at: ProjectPath) -> str:
    """Put the steps into a script that runs where the DVC root is in the workspace."""
    head = _HEAD.format(tools=TOOLS_AT, folder=shlex.quote(_in_workspace(root_at)), python_min=PYTHON_MIN)
    return head + "".join(f"{step}\n" for step in steps)


def pip_step(*arguments: str) -> str:
    """Install with pip."""
    return shlex.join(["pip_install", *arguments])


def conda_step(path: ProjectPath) -> str:
    """Install with the tool of the conda family that the image has."""
    return shlex.join(["conda_install", path])


def import_step(folders: Sequence[ProjectPath], root_at: ProjectPath) -> str:
    """Have Python import the project's packages from folders of the workspace."""
    at = [ProjectPath(posixpath.normpath(posixpath.join(root_at, folder))) for folder in folders]
    return shlex.join(["add_paths", *(_in_workspace(folder) for folder in at)])


def generated_file(name: str) -> str:
    """Where a generated file is."""
    return f"{TOOLS_AT}/{name}"


def _in_workspace(path: ProjectPath) -> str:
    return WORKSPACE_AT if path == ROOT else f"{WORKSPACE_AT}/{path}"


def read_pyproject(data: bytes, path: ProjectPath) -> Mapping[str, object]:
    """Read a pyproject.toml.

    Raises:
        PipelineInvalid: if it is not TOML.
    """
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise PipelineInvalid(f"{path} is not valid TOML: {exc}", place=Place(path=path)) from exc


def listed_dependencies(pyproject: Mapping[str, object]) -> tuple[str, ...] | None:
    """What `[project]` says is needed; None: only the project's build backend knows."""
    project = pyproject.get("project")
    if not isinstance(project, Mapping):
        return None
    dynamic = project.get("dynamic", ())
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        return None
    listed = project.get("dependencies", [])
    return tuple(str(item) for item in listed) if isinstance(listed, list) else None


def is_package(pyproject: Mapping[str, object]) -> bool:
    """Whether the project is one that is installed itself."""
    return "build-system" in pyproject
