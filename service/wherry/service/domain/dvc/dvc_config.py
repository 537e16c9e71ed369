"""`.dvc/config`, as far as it changes what a pipeline means: the section `parsing` here, `hydra` in hydra_settings.py.

Everything else in the file (remotes, caches) concerns the laptop and is passed over, right or wrong.
"""

import re
from dataclasses import dataclass

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath

CONFIG_FILE = ProjectPath(".dvc/config")

_SECTION = re.compile(r"\s*\[\s*([^\[\]]*?)\s*\]\s*(?:#.*)?")
_SETTING = re.compile(r"""\s*["']?(\w+)["']?\s*=\s*(?:"([^"]*)"|'([^']*)'|([^#]*?))\s*(?:#.*)?""")
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
        if name in _CHOICES and value not in _CHOICES[name]:
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
        PipelineInvalid: with its line, for a section whose bracket is not closed.
    """
    settings: dict[str, Setting] = {}
    section = ""
    for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
        if heading := _SECTION.fullmatch(line):
            section = heading[1].strip("\"'").lower()
        elif line.lstrip().startswith("[") and "]" not in line:
            raise PipelineInvalid(
                f"{line.strip()[:80]!r} is no section",
                hint="Close it with ]; DVC reads nothing of the file as it is.",
                place=Place(path=CONFIG_FILE, line=number),
            )
        elif section == wanted and (setting := _SETTING.fullmatch(line)):
            value = setting[2] or setting[3] or setting[4] or ""
            settings[setting[1].lower()] = Setting(value=value, line=number)
    return settings
