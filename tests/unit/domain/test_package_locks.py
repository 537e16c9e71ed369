"""Lock files of other installers, as pip can install them."""

import pytest

from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.images.locks import Wanted, read_poetry_lock, read_uv_lock
from wherry.service.domain.paths import ProjectPath

_PATH = ProjectPath("some.lock")

_UV = """
version = 1
[[package]]
name = "own"
version = "0.1"
source = { editable = "." }
dependencies = [
  { name = "lib" },
  { name = "numpy", extra = ["a", "b"] },
  { name = "pywin", marker = "sys_platform == 'win32'" },
]
[package.dev-dependencies]
dev = [{ name = "pytest" }]
docs = [{ name = "sphinx" }]
[[package]]
name = "lib"
source = { directory = "lib" }
[[package]]
name = "numpy"
version = "1.26.4"
source = { registry = "https://pypi.org/simple" }
resolution-markers = ["python_full_version < '3.12'"]
[[package]]
name = "numpy"
version = "2.1"
source = { registry = "https://pypi.org/simple" }
resolution-markers = ["python_full_version >= '3.12'", "extra == 'x'"]
[[package]]
name = "pytest"
version = "8"
source = { registry = "https://packages.example.org/simple/" }
[[package]]
name = "tool"
version = "1"
source = { git = "https://example.org/tool.git?rev=main#0123abc" }
"""


def test_of_uv_lock_the_projects_needs_are_wanted_at_the_locked_versions() -> None:
    assert read_uv_lock(_UV.encode(), _PATH) == Wanted(
        requirements=(
            "--extra-index-url https://packages.example.org/simple\n"
            "numpy[a,b]\n"
            "pywin ; sys_platform == 'win32'\n"
            "pytest\n"
        ),
        constraints=(
            "numpy==1.26.4 ; (python_full_version < '3.12')\n"
            "numpy==2.1 ; (python_full_version >= '3.12') or (extra == 'x')\n"
            "pytest==8\n"
            "tool @ git+https://example.org/tool.git@0123abc\n"
        ),
    )


_POETRY_1 = """
[[package]]
name = "Click"
version = "8.1"
optional = false
[package.dependencies]
colorama = {version = "*", markers = "platform_system == \\"Windows\\""}
[[package]]
name = "colorama"
version = "0.4"
optional = false
[[package]]
name = "extra-thing"
version = "1"
optional = true
[[package]]
name = "lib"
version = "1"
optional = false
[package.source]
type = "directory"
url = "libs/lib"
"""

_POETRY_2 = """
[[package]]
name = "colorama"
version = "0.4"
optional = false
groups = ["main", "dev"]
markers = "sys_platform == \\"win32\\""
[[package]]
name = "tool"
version = "2"
optional = false
markers = {main = "python_version < \\"3.12\\""}
[package.source]
type = "git"
url = "https://example.org/tool.git"
reference = "main"
resolved_reference = "0123abc"
[[package]]
name = "six"
version = "1.17"
optional = false
[package.source]
type = "legacy"
url = "https://packages.example.org/simple"
"""


def test_of_poetry_lock_everything_is_wanted_that_is_not_optional() -> None:
    assert read_poetry_lock(_POETRY_1.encode(), _PATH).requirements == (
        'Click==8.1\ncolorama==0.4 ; (platform_system == "Windows")\n./libs/lib\n'
    )
    assert read_poetry_lock(_POETRY_2.encode(), _PATH).requirements == (
        "--extra-index-url https://packages.example.org/simple\n"
        'colorama==0.4 ; sys_platform == "win32"\n'
        'tool @ git+https://example.org/tool.git@0123abc ; python_version < "3.12"\n'
        "six==1.17\n"
    )


@pytest.mark.parametrize("text", ["not toml", "package = 1", "[[package]]\nversion = '1'\n"])
def test_what_is_no_lock_is_refused(text: str) -> None:
    for read in (read_uv_lock, read_poetry_lock):
        with pytest.raises(PipelineInvalid):
            read(text.encode(), _PATH)


def test_a_line_break_in_a_version_is_refused() -> None:
    text = '[[package]]\nname = "a"\nversion = "1\\n--index-url x"\n'
    with pytest.raises(PipelineInvalid):
        read_poetry_lock(text.encode(), _PATH)
