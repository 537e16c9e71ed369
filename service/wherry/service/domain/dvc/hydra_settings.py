"""The section `hydra` of `.dvc/config`: whether and from where parameters are composed."""

from dataclasses import dataclass

from wherry.service.domain.dvc.dvc_config import CONFIG_FILE, read_section
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath, resolve_project_path


@dataclass(frozen=True, slots=True, kw_only=True)
class HydraSettings:
    """Where the configurations of a project lie."""

    config_dir: ProjectPath
    config_name: str


def parse_hydra_settings(data: bytes) -> HydraSettings | None:
    """Read the section; None when composition is not enabled.

    Raises:
        PipelineInvalid: with its line, for a value that DVC refuses, or a setting that would run submitted code.
        PathEscapes: if the configurations lie outside the project.
    """
    section = read_section(data, "hydra")
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
    config_dir = section["config_dir"].value if "config_dir" in section else "conf"
    config_name = section["config_name"].value if "config_name" in section else "config"
    return HydraSettings(config_dir=resolve_project_path(ROOT, config_dir), config_name=config_name)
