"""What of a Dockerfile decides the image."""

import pytest

from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.images.dockerfile import ignored_by, matching, parse_dockerfile
from wherry.service.domain.paths import ProjectPath

_PATH = ProjectPath("Dockerfile")

_FULL = """\
# syntax=docker/dockerfile:1
ARG VERSION=3.11
ARG REGISTRY
FROM --platform=linux/amd64 ${REGISTRY:-docker.io}/python:$VERSION AS Build
COPY --chown=1:1 ./a.txt b/*.py /x/
RUN echo one && \\
    # between
    echo two
FROM build
COPY --from=build /x /y
COPY --from=0 /x /y
COPY --from=tools:1 /bin/t /bin/t
ADD ["c d", "e", "/f"]
"""


def test_images_are_found_and_put_in_by_digest() -> None:
    found = parse_dockerfile(_FULL.encode(), _PATH, {"VERSION": "3.12"})
    assert found.images == ("docker.io/python:3.12", "tools:1")
    assert found.with_images({"docker.io/python:3.12": "P@1", "tools:1": "T@2"}).decode() == (
        "ARG VERSION=3.11\n"
        "ARG REGISTRY\n"
        "FROM --platform=linux/amd64 P@1 AS Build\n"
        "COPY --chown=1:1 ./a.txt b/*.py /x/\n"
        "RUN echo one &&     echo two\n"
        "FROM build\n"
        "COPY --from=build /x /y\n"
        "COPY --from=0 /x /y\n"
        "COPY --from=T@2 /bin/t /bin/t\n"
        'ADD ["c d", "e", "/f"]\n'
    )
    assert found.copied == ("a.txt", "b/*.py", "c d", "e")


@pytest.mark.parametrize(
    "step",
    [
        "ADD http://169.254.169.254/latest /x",
        "add --chown=1:1 https://example.org/e /f",
        'ADD ["http://127.0.0.1:1/", "/f"]',
        'ADD ["a", "h\\u0074tp:\\u002f\\u002f127.0.0.1/", "/f"] more',
        "ADD \\ http://127.0.0.1/ /y",
        'ADD ht"tp:/"/127.0.0.1/ /y',
        "ADD \\\n  h\\\nttp://127.0.0.1/ /y",
        "ARG A=http://127.0.0.1/\nADD $A /y",
        "ONBUILD ADD http://127.0.0.1/ /y",
        "ADD git://127.0.0.1/x /y",
    ],
)
def test_the_engine_itself_is_made_to_fetch_nothing(step: str) -> None:
    with pytest.raises(PipelineInvalid, match="the engine itself would fetch it") as caught:
        parse_dockerfile(f"FROM a\n{step}\n".encode(), _PATH, {})
    assert "RUN curl" in caught.value.hint
    assert caught.value.place is not None


def test_files_are_added_wherever_they_go() -> None:
    for step in ("ADD --chown=$U:1 a $HOME/x", 'ADD ["a", "$HOME/x"]', "ADD a /http://x"):
        assert parse_dockerfile(f"FROM a\n{step}\n".encode(), _PATH, {}).copied == ("a",)


@pytest.mark.parametrize(
    ("source", "taken", "left"),
    [
        (".", ["a", "b/c"], []),
        ("./", ["a", "b/c"], []),
        ("src", ["src", "src/a/b"], ["srcs", "x/src"]),
        ("/src/", ["src/a"], ["x/src/a"]),
        ("src/*.py", ["src/a.py"], ["src/b/a.py", "a.py"]),
        ("req*.txt", ["requirements.txt"], ["x/req.txt"]),
        ("../up", ["up"], []),
    ],
)
def test_only_what_is_copied_counts(source: str, taken: list[str], left: list[str]) -> None:
    copied = parse_dockerfile(f"FROM a\nCOPY {source} /x\n".encode(), _PATH, {}).copied
    assert copied is not None
    assert [path for path in [*taken, *left] if matching(copied).match_file(path)] == taken


def test_where_it_cannot_be_told_everything_counts() -> None:
    assert parse_dockerfile(b"FROM a\nARG F\nCOPY $F /x\n", _PATH, {}).copied is None
    assert parse_dockerfile(b"FROM a\nRUN true\n", _PATH, {}).copied == ()


def test_dockerignore_counts_from_the_top_and_the_last_match_decides() -> None:
    ignored = ignored_by(b"# no\nlogs/\n*.md\n!README.md\n**/cache\n/abs\n")
    found = [
        path
        for path in ("logs/a", "x/logs/a", "a.md", "x/a.md", "README.md", "x/cache/y", "abs", "a # no")
        if ignored.match_file(path)
    ]
    assert found == ["logs/a", "a.md", "x/cache/y", "abs"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("FROM scratch\n", "Dockerfile"),
        ("RUN true\n", "Dockerfile"),
        ("ARG V\n\nFROM python:$V\n", None),
        ("FROM $NOT\n", "Dockerfile:1"),
        ("FROM a\n\nRUNN b\n", "Dockerfile:3"),
        ("# escape=`\nFROM a\n", "Dockerfile:1"),
    ],
)
def test_mistakes_have_a_place(text: str, place: str | None) -> None:
    if place is None:
        assert parse_dockerfile(text.encode(), _PATH, {"V": "3"}).images == ("python:3",)
        return
    with pytest.raises(PipelineInvalid) as error:
        parse_dockerfile(text.encode(), _PATH, {})
    assert str(error.value.place) == place
