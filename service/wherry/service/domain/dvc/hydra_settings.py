"""The section `hydra` of `.dvc/config`: whether and from where parameters are composed."""

from dataclasses import dataclass

from wherry.service.domain.dvc.dvc_config import CONFIG_FILE, Setting, read_section
from wherry.service.domain.errors import PathEscapes, PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath, resolve_project_path

_NAMES = frozenset({"enabled", "config_dir", "config_name", "config_module", "plugins_path"})
_CONFIG_DIR = ProjectPath("conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class HydraSettings:
    """Where the configurations of a project lie."""

    config_dir: ProjectPath
    config_name: str


def parse_hydra_settings(data: bytes) -> HydraSettings | None:
    """Read the section; None when composition is not enabled.

    Raises:
        PipelineInvalid: with its line, for what DVC refuses, a setting that would run submitted code, or configurations
            that lie outside the project.
    """
    section = read_section(data, "hydra")
    for name in section.keys() - _NAMES:
        raise PipelineInvalid(
            f"hydra has no {name!r}",
            hint=f"DVC knows {', '.join(sorted(_NAMES))} there.",
            place=Place(path=CONFIG_FILE, line=section[name].line),
        )
    enabled = section.get("enabled")
    if enabled is None:
        return None
    if enabled.value.lower() not in {"true", "false"}:
        raise PipelineInvalid(
            f"hydra.enabled cannot be {enabled.value!r}",
            hint="DVC knows true and false.",
            place=Place(path=CONFIG_FILE, line=enabled.line),
        )
    if enabled.value.lower() == "false":
        return None
    for name in ("config_module", "plugins_path"):
        if name in section:
            raise PipelineInvalid(
                f"hydra.{name} names Python code, which the service does not run",
                hint="Compose from YAML files (hydra.config_dir), or with `dvc exp run` on your machine.",
                place=Place(path=CONFIG_FILE, line=section[name].line),
            )
    config_name = section["config_name"].value if "config_name" in section else "config"
    return HydraSettings(config_dir=_read_config_dir(section.get("config_dir")), config_name=config_name)


def _read_config_dir(setting: Setting | None) -> ProjectPath:
    if setting is None:
        return _CONFIG_DIR
    try:
        return resolve_project_path(ROOT, setting.value)
    except PathEscapes as exc:
        raise PipelineInvalid(
            f"hydra.config_dir: {exc.message}",
            hint="Name a folder of the project, relative to the DVC root.",
            place=Place(path=CONFIG_FILE, line=setting.line),
        ) from exc
