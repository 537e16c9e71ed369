"""Which files of the project a requirements file speaks of."""

import pytest

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.images.requirements_txt import Mention, Use, find_mentions
from wherry.service.domain.paths import ProjectPath

_PATH = ProjectPath("requirements.txt")


@pytest.mark.parametrize(
    ("line", "use", "written"),
    [
        ("-r more.txt", Use.INCLUDED, "more.txt"),
        ("-rmore.txt", Use.INCLUDED, "more.txt"),
        ("--requirement=sub/more.txt  # why", Use.INCLUDED, "sub/more.txt"),
        ("-c 'pins here.txt'", Use.INCLUDED, "pins here.txt"),
        ("-e .", Use.EDITABLE, "."),
        ("--editable ./lib[test]", Use.EDITABLE, "./lib"),
        ("-e file:lib", Use.EDITABLE, "lib"),
        ("-f wheels", Use.FOLDER, "wheels"),
        ("./lib", Use.PACKAGE, "./lib"),
        ("lib/core[extra] ; python_version > '3'", Use.PACKAGE, "lib/core"),
        ("a-1.0-py3-none-any.whl --hash=sha256:00", Use.PACKAGE, "a-1.0-py3-none-any.whl"),
        ("mine @ file:lib/mine", Use.PACKAGE, "lib/mine"),
    ],
)
def test_files_of_the_project_are_found(line: str, use: Use, written: str) -> None:
    assert list(find_mentions(f"numpy\n{line}\n".encode(), _PATH)) == [Mention(use, written, 2)]


@pytest.mark.parametrize(
    "line",
    [
        "numpy==1.24 ; python_version >= '3.8'",
        "torch @ https://example.org/torch-2.0-cp311-none-any.whl",
        "git+https://example.org/a/b.git@main#egg=b",
        "-e git+https://example.org/a/b.git",
        "--index-url https://example.org/simple",
        "--extra-index-url=https://example.org/simple",
        "-f https://example.org/wheels.html",
        "--pre",
        "# -r gone.txt",
        "dvc[s3,ssh]>=3",
    ],
)
def test_what_comes_from_elsewhere_is_none(line: str) -> None:
    assert list(find_mentions(line.encode(), _PATH)) == []


def test_lines_are_joined_and_counted_where_they_begin() -> None:
    found = list(find_mentions(b"\xef\xbb\xbfnumpy \\\n  --hash=sha256:00 \\\n\n-r \\\n  b.txt\n./c", _PATH))
    assert found == [Mention(Use.INCLUDED, "b.txt", 4), Mention(Use.PACKAGE, "./c", 6)]


def test_a_list_on_the_network_is_refused_with_its_line() -> None:
    with pytest.raises(PipelineInvalid) as error:
        list(find_mentions(b"a\n-r https://example.org/r.txt\n", _PATH))
    assert error.value.place == Place(path=_PATH, line=2)
