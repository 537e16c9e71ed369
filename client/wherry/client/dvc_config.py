"""DVC's own configuration files: those of the machine, the user, the project, and the clone."""

from collections.abc import Mapping
from pathlib import Path

Sections = Mapping[str, Mapping[str, str]]
"""Values by section and key, without quotes."""


def config_files(root: Path, environ: Mapping[str, str]) -> list[Path]:
    """Where DVC looks; a later file goes before an earlier one."""
    home = environ.get("HOME", "")
    machine = environ.get("XDG_CONFIG_DIRS", "").partition(":")[0] or "/etc/xdg"
    user = environ.get("XDG_CONFIG_HOME", "") or (f"{home}/.config" if home else "")
    folders = (
        environ.get("DVC_SYSTEM_CONFIG_DIR", "") or f"{machine}/dvc",
        environ.get("DVC_GLOBAL_CONFIG_DIR", "") or (f"{user}/dvc" if user else ""),
    )
    outside = [Path(folder) / "config" for folder in folders if folder]
    return [*outside, root / ".dvc" / "config", root / ".dvc" / "config.local"]


def read_sections(file: Path) -> Sections:
    """Read one file. What cannot be read says nothing: DVC will say what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if "[" not in text:  # as most are; every submission reads them
        return {}
    import configparser  # noqa: PLC0415

    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    try:
        # configobj takes indented keys for what they are, configparser for the end of a value.
        parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    except configparser.Error:
        return {}
    return {
        name: {key: value.strip("\"'") for key, value in parser[name].items()} for name in parser.sections()
    }


def find_plots_settings(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What DVC's settings of plots are in a project: html_template (a path), out_dir, auto_open."""
    found: dict[str, str] = {}
    for file in config_files(root, environ):
        found |= read_sections(file).get("plots", {})
    if found.get("html_template"):
        # Whichever file says it.
        found["html_template"] = str(root / ".dvc" / found["html_template"])
    return found
