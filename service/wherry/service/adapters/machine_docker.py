"""What an engine has for containers, as far as it says so itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wherry.service.domain.resources import Machine

# Where NVIDIA's driver lists the GPUs of a machine. The engine says only whether it can hand them out.
_NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
_NVIDIA = "nvidia"


def machine_of(info: Mapping[str, Any], *, gpus_folder: Path = _NVIDIA_GPUS) -> Machine:
    """Read it from the engine's description of itself.

    GPUs are counted on this machine, and only where the engine has NVIDIA's runtime: elsewhere an operator says how
    many there are.
    """
    has_runtime = _NVIDIA in (info.get("Runtimes") or {})
    gpus = len(list(gpus_folder.iterdir())) if has_runtime and gpus_folder.is_dir() else 0
    return Machine(cpus=float(info["NCPU"]), memory_bytes=int(info["MemTotal"]), gpus=gpus)
