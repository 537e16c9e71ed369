"""`.dvc/config`, as far as it changes what a pipeline means: the section `parsing` here, `hydra` in hydra_settings.py.

Everything else in the file (remotes, caches) concerns the laptop and is passed over, right or wrong.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath

CONFIG_FILE = ProjectPath(".dvc/config")

_SECTION = re.compile(r"""\s*((?:\[\s*)+)("\s*\S.*?\s*"|'\s*\S.*?\s*'|[^'"\s].*?)((?:\s*\])+)\s*(?:#.*)?""")
_SETTING = re.compile(r"""\s*(".*?"|'.*?'|[^'"=].*?)\s*=\s*(.*)""")
_VALUE = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^#]*?))\s*(?:#.*)?""")
_LONG_QUOTES = ("'''", '"""')
_CHOICES = {"bool": ("store_true", "boolean_optional"), "list": ("nargs", "append")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingSettings:
    """How a mapping in `cmd` is written as options of a command line."""

    boolean_optional: bool = False
    """A false value is written as `--no-name` instead of not at all."""
    append: bool = False
    """A list repeats its option for each item: `--name a --name b` instead of `--name a b`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value of the file."""

    value: str
    line: int


DEFAULT_PARSING = ParsingSettings()


def parse_parsing_settings(data: bytes) -> ParsingSettings:
    """Read the section `parsing` of a `.dvc/config`; names and values are taken in any case, as DVC does.

    Raises:
        PipelineInvalid: with its line, if a value of that section is none that DVC knows.
    """
    values: dict[str, str] = {}
    for name, setting in read_section(data, "parsing").items():
        value = setting.value.lower()
        if name not in _CHOICES:
            raise PipelineInvalid(
                f"parsing has no {name!r}",
                hint=f"DVC knows {' and '.join(_CHOICES)} there.",
                place=Place(path=CONFIG_FILE, line=setting.line),
            )
        if value not in _CHOICES[name]:
            raise PipelineInvalid(
                f"parsing.{name} cannot be {value!r}",
                hint=f"DVC knows {' and '.join(_CHOICES[name])}.",
                place=Place(path=CONFIG_FILE, line=setting.line),
            )
        values[name] = value
    return ParsingSettings(
        boolean_optional=values.get("bool") == "boolean_optional", append=values.get("list") == "append"
    )


def read_section(data: bytes, wanted: str) -> dict[str, Setting]:
    """Read the settings of one section, by name; names are taken in any case, as DVC does.

    Raises:
        PipelineInvalid: with its line, for anything in the file that is neither section, setting nor comment, or is
            there twice.
    """
    settings: dict[str, Setting] = {}
    for heading, name, setting in _settings(data.decode(errors="replace").splitlines()):
        if heading == wanted and (value := _VALUE.fullmatch(setting.value)):
            plain = next((group for group in value.groups() if group), "")
            settings[name.lower()] = Setting(value=plain, line=setting.line)
    return settings


def _settings(lines: Sequence[str]) -> Iterator[tuple[str, str, Setting]]:
    """Yield section, name and value of each setting."""
    section, names = "", set[str]()
    sections = set[str]()
    numbered = iter(enumerate(lines, start=1))
    for number, line in numbered:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if heading := _SECTION.fullmatch(line):
            section, names = _unquoted(heading[2]), set()
            _refuse_again(section, sections, number)
        elif setting := _SETTING.fullmatch(line):
            _refuse_again(_unquoted(setting[1]), names, number)
            for quotes in _LONG_QUOTES:
                if setting[2].startswith(quotes) and quotes not in setting[2][len(quotes) :]:
                    _skip_to(quotes, numbered, number)
            yield section.lower(), _unquoted(setting[1]), Setting(value=setting[2], line=number)
        else:
            hint = "Close it with ]." if line.lstrip().startswith("[") else "Begin a comment with #."
            raise _refuse(f"{line.strip()[:80]!r} is neither a section nor a setting", number, hint)


def _refuse_again(name: str, seen: set[str], number: int) -> None:
    """A name twice is refused as it is spelled: DVC ignores case only later."""
    if name in seen:
        raise _refuse(f"{name[:80]!r} stands here a second time", number, "Put the two together.")
    seen.add(name)


def _skip_to(quotes: str, lines: Iterator[tuple[int, str]], number: int) -> None:
    if not any(quotes in line for _, line in lines):
        raise _refuse(f"a text in {quotes} is not closed", number, f"Close it with {quotes}.")


def _unquoted(name: str) -> str:
    return name.strip("\"'")


def _refuse(message: str, number: int, hint: str) -> PipelineInvalid:
    return PipelineInvalid(
        message,
        hint=f"{hint} DVC reads nothing of the file as it is.",
        place=Place(path=CONFIG_FILE, line=number),
    )
