"""What of a Dockerfile decides the image: which images it names, and which files of its context it copies.

The engine's builder reads the file itself; here is what has to be known before. The images are put in by digest, so that what
is built does not depend on when, and only what is copied counts, so that a change elsewhere makes no new image.
"""

import contextlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pathspec import PathSpec
from pathspec.pattern import Pattern

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath

_FROM = re.compile(
    r"(?i:FROM)\s+(?P<flags>(?:--\S+\s+)*)(?P<image>\S+)(?P<rest>(?:\s+(?i:AS)\s+(?P<name>\S+))?)\s*"
)
_COPY = re.compile(r"(?i:COPY|ADD)\s+(?P<flags>(?:--\S+\s+)*)(?P<arguments>.*)", re.DOTALL)
_COPY_FROM = re.compile(r"--from=(?P<image>\S+)")
_ARG = re.compile(r"(?i:ARG)\s+(?P<name>[A-Za-z_]\w*)(?:=(?P<value>.*))?")
_VARIABLE = re.compile(r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})")
_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*`\s*")
_ADD = re.compile(r"(?i:(?:ONBUILD\s+)*ADD)\s+(?P<arguments>.*)", re.DOTALL)
_WORDS = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
_NOTHING = "scratch"


@dataclass(frozen=True, slots=True)
class _Instruction:
    """One instruction, its continued lines joined."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """What a Dockerfile says, as far as it has to be known before it is built."""

    images: tuple[str, ...]
    """The images that it names, each once."""
    copied: tuple[str, ...] | None
    """Patterns of what it takes from its context; None: that cannot be told."""
    _parts: tuple[tuple[str, str, str], ...]
    """The file as text, an image's name, text behind it, again and again."""

    def with_images(self, digests: Mapping[str, str]) -> bytes:
        """The file with other names in place of the images'."""
        return "".join(
            before + (digests[image] if image else "") + after for before, image, after in self._parts
        ).encode()


def parse_dockerfile(data: bytes, path: ProjectPath, args: Mapping[str, str]) -> Dockerfile:
    """Read a Dockerfile; `args` are those of the build.

    Raises:
        PipelineInvalid: if it names no image, or in a way that cannot be resolved.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise PipelineInvalid(f"{path} is not UTF-8 text", place=Place(path=path)) from exc
    if _DIRECTIVE.match(text):
        raise PipelineInvalid(
            f"{path} has another sign for continued lines than \\", place=Place(path=path, line=1)
        )
    reading = _Reading(path, args)
    for instruction in _instructions(text):
        reading.take(instruction)
    if not reading.images:
        raise PipelineInvalid(
            f"{path} is based on no image",
            hint="A stage needs a shell: begin with FROM and the name of an image.",
            place=Place(path=path),
        )
    copied = None if reading.copies_anything else tuple(dict.fromkeys(reading.copied))
    return Dockerfile(tuple(dict.fromkeys(reading.images)), copied, tuple(reading.parts))


def lets_engine_fetch(instruction: str) -> bool:
    """Whether an instruction has, or may have, the engine itself ask an address: it would from its own machine's network."""
    found = _ADD.match(instruction.strip())
    if found is None:
        return False
    arguments = found["arguments"].strip()
    words = [word for word in arguments.split() if not word.startswith("--")]
    sources = words[:-1]
    # As the engine reads it: whatever stands behind the list does not count.
    with contextlib.suppress(ValueError):
        listed, _ = json.JSONDecoder().raw_decode(arguments[arguments.find("[") :])
        sources += map(str, listed[:-1])
    return any("$" in word or "://" in word for word in map(_bare, sources))


def _bare(word: str) -> str:
    """Without what the engine takes away before it reads a word."""
    return re.sub(r"[\"'\\]", "", word)


def ignored_by(data: bytes) -> PathSpec[Pattern]:
    """The patterns of a .dockerignore: from the top of the context, the last that matches decides."""
    lines = []
    for line in data.decode("utf-8-sig", "replace").splitlines():
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        sign = "!" if pattern.startswith("!") else ""
        bare = pattern.removeprefix("!").strip().strip("/").removeprefix("./")
        if bare and bare != ".":
            lines.append(f"{sign}/{bare}")
    return PathSpec.from_lines("gitignore", lines)


def matching(patterns: tuple[str, ...]) -> PathSpec[Pattern]:
    """Whether something of a context is copied: is, or lies in, what one of the patterns names."""
    return PathSpec.from_lines("gitignore", [f"/{pattern}" if pattern else "*" for pattern in patterns])


class _Reading:
    """Goes through instructions, and keeps what they say."""

    def __init__(self, path: ProjectPath, args: Mapping[str, str]) -> None:
        self._path = path
        self._given = args
        self._global: dict[str, str] = {}
        self._stages = set[str]()
        self.images: list[str] = []
        self.copied: list[str] = []
        self.copies_anything = False
        self.parts: list[tuple[str, str, str]] = []

    def take(self, instruction: _Instruction) -> None:
        text = instruction.text
        if lets_engine_fetch(text):
            raise PipelineInvalid(
                "ADD takes no address and no variable here: the engine itself would fetch it",
                hint="Fetch it in a step, such as RUN curl -fLO ADDRESS; for files of the project use COPY.",
                place=Place(path=self._path, line=instruction.line),
            )
        if found := _FROM.fullmatch(text):
            self._take_from(found, instruction)
        elif found := _COPY.fullmatch(text):
            self._take_copy(found, instruction)
        else:
            self._check_word(instruction)
            if (found := _ARG.fullmatch(text)) and not self._stages and not self.images:
                default = (found["value"] or "").strip().strip("\"'")
                self._global[found["name"]] = self._given.get(found["name"], default)
            self._keep(text)

    def _take_from(self, found: re.Match[str], instruction: _Instruction) -> None:
        name = self._substituted(found["image"], instruction)
        before, after = f"FROM {found['flags']}", found["rest"]
        if name.lower() in self._stages or name == _NOTHING:
            self._keep(f"{before}{name}{after}")
        else:
            self._keep(before, name, after)
        self._stages.add((found["name"] or f"#{len(self._stages)}").lower())

    def _take_copy(self, found: re.Match[str], instruction: _Instruction) -> None:
        other = _COPY_FROM.search(found["flags"])
        if other is None:
            self._take_sources(found["arguments"])
            self._keep(instruction.text)
            return
        name = other["image"]
        if name.lower() in self._stages or name.isdecimal():
            self._keep(instruction.text)
        else:
            before, _, after = instruction.text.partition(other[0])
            self._keep(f"{before}--from=", name, after)

    def _take_sources(self, arguments: str) -> None:
        try:
            words = json.loads(arguments) if arguments.lstrip().startswith("[") else shlex.split(arguments)
        except ValueError:
            words = ["$"]
        if not isinstance(words, list) or any("$" in str(word) or "<<" in str(word) for word in words[:-1]):
            self.copies_anything = True
            return
        self.copied += (_from_the_top(str(word)) for word in words[:-1])

    def _check_word(self, instruction: _Instruction) -> None:
        """The engine would say in which line of the rewritten file an instruction is wrong."""
        word = instruction.text.split(maxsplit=1)[0]
        if word.upper() not in _WORDS:
            raise PipelineInvalid(
                f"{word[:40]!r} is no instruction of a Dockerfile",
                place=Place(path=self._path, line=instruction.line),
            )

    def _keep(self, before: str, image: str = "", after: str = "") -> None:
        if image:
            self.images.append(image)
        self.parts.append((before, image, f"{after}\n"))

    def _substituted(self, image: str, instruction: _Instruction) -> str:
        def value(found: re.Match[str]) -> str:
            said = self._global.get(found["plain"] or found["braced"], "")
            return said or found["default"] or ""

        name = _VARIABLE.sub(value, image)
        if not name or "$" in name:
            raise PipelineInvalid(
                f"it is not known which image {image} is",
                hint="Give its ARG a value before the first FROM, or in the setting 'build.args'.",
                place=Place(path=self._path, line=instruction.line),
            )
        return name


def _from_the_top(source: str) -> str:
    """A source as a pattern from the top of the context; empty: all of it."""
    parts = list[str]()
    for part in source.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _instructions(text: str) -> Iterator[_Instruction]:
    """Instructions with the line where each begins. Comments between and within them are gone."""
    begun, number = "", 0
    for at, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        number = number or at
        if stripped.endswith("\\"):
            begun += line.rstrip()[:-1]
            continue
        yield _Instruction((begun + line).strip(), number)
        begun, number = "", 0
    if begun.strip():
        yield _Instruction(begun.strip(), number)
