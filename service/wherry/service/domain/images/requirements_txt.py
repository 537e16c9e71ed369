"""Which files of the project a requirements file speaks of.

pip reads the file itself, in a container, and knows its whole grammar; here is only what decides which content has to be
there, and therefore counts: included files, packages and wheels of the project, folders to find wheels in.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTION = re.compile(r"(?P<name>--?[A-Za-z-]+)(?:\s*=\s*|\s+|(?<=^-[a-z])(?=\S))(?P<value>.*)")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DIRECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*@\s*(?P<target>.+)")
_ARCHIVES = (".whl", ".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz")
_INCLUDES = frozenset({"-r", "--requirement", "-c", "--constraint"})
_EDITABLE = frozenset({"-e", "--editable"})
_FOLDERS = frozenset({"-f", "--find-links"})


class Use(StrEnum):
    """What a file of the project is to a requirements file."""

    INCLUDED = "included"
    """Another requirements or constraints file, seen from this one."""
    PACKAGE = "package"
    """A folder or archive that is installed."""
    EDITABLE = "editable"
    """A folder that is imported from where it is."""
    FOLDER = "folder"
    """A folder with archives to choose from."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A line that speaks of a file of the project."""

    use: Use
    written: str
    """The path as written."""
    line: int


def find_mentions(data: bytes, path: ProjectPath) -> Iterator[Mention]:
    """Yield what a requirements file says of the project's files.

    Raises:
        PipelineInvalid: if it is not text, or includes what is not a file of the project.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise PipelineInvalid(f"{path} is not UTF-8 text", place=Place(path=path)) from exc
    for number, line in _logical_lines(text):
        mention = _read_line(line, number)
        if mention is None:
            continue
        if mention.use is Use.INCLUDED and _REMOTE.match(mention.written):
            raise PipelineInvalid(
                f"{path} includes {mention.written[:80]!r}, which is not a file of the project",
                hint="What is installed must be named by content: keep a copy of it in the project.",
                place=Place(path=path, line=number),
            )
        yield mention


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers: backslashes join them, comments are gone."""
    begun, number = "", 0
    for at, line in enumerate(text.splitlines(), 1):
        number = number or at
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            begun += line[:-1]
            continue
        whole = _COMMENT.sub("", begun + line).strip()
        if whole:
            yield number, whole
        begun, number = "", 0
    if begun.strip():
        yield number, begun.strip()


def _read_line(line: str, number: int) -> Mention | None:
    option = _OPTION.fullmatch(line) if line.startswith("-") else None
    if option is not None:
        written = _unquoted(option["value"])
        if option["name"] in _INCLUDES:
            return Mention(Use.INCLUDED, written, number)
        if option["name"] in _EDITABLE and not _REMOTE.match(_target(written)):
            return Mention(Use.EDITABLE, _without_extras(_target(written)), number)
        if option["name"] in _FOLDERS and not _REMOTE.match(written):
            return Mention(Use.FOLDER, written, number)
        return None
    return _read_requirement(line, number)


def _read_requirement(line: str, number: int) -> Mention | None:
    """A requirement that is a path: `./lib`, `wheels/a-1.0-py3-none-any.whl`, `a @ file:lib`."""
    # Options of one requirement, and a marker after " ;", stand behind it.
    written = re.split(r"\s+--|\s+;|;\s", line, maxsplit=1)[0].strip().strip("'\"")
    direct = _DIRECT.fullmatch(written)
    if direct is not None:
        written = direct["target"].strip()
        if not written.startswith("file:"):
            return None
    written = _target(written)
    if _REMOTE.match(written):
        return None
    bare = _without_extras(written)
    is_path = direct or bare.startswith((".", "/")) or "/" in bare or bare.endswith(_ARCHIVES)
    return Mention(Use.PACKAGE, bare, number) if is_path else None


def _target(written: str) -> str:
    """A path without the scheme `file:`, as far as it is one of the project: `file:lib`, `file://./lib`."""
    if not written.startswith("file:"):
        return written
    path = written.removeprefix("file:")
    return path.removeprefix("//") if path.startswith("//.") else path


def _without_extras(written: str) -> str:
    return re.sub(r"\[[^\]]*\]$", "", written)


def _unquoted(written: str) -> str:
    try:
        parts = shlex.split(written)
    except ValueError:
        return written.strip()
    return parts[0] if parts else ""
