"""What a machine has for stages, what a stage asks of it, and what it can never give."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from wherry.service.domain.setting_values import ALL_GPUS
from wherry.service.domain.settings import StageSettings

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""By which numerical libraries are told how many threads to start: they would count the machine's processors, not
those of their container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is: of an engine, or as much of it as an operator lets stages have."""

    cpus: float
    memory_bytes: int
    gpus: int = 0
    cpus_each: float | None = None
    """The most that one stage can have, where that is less than all can have together."""

    @property
    def cpus_most(self) -> float:
        """The most that one stage can have."""
        return self.cpus if self.cpus_each is None else min(self.cpus, self.cpus_each)


def allotted(
    there: Machine, *, at_once: int, cpus: float | None, memory_bytes: int | None, gpus: int | None
) -> Machine:
    """What stages may have of a machine, where an operator says so; else all of it.

    Who lets more stages run at once than there are processors wants them to share: then each still counts as one.
    """
    return Machine(
        cpus=max(there.cpus, at_once) if cpus is None else cpus,
        memory_bytes=there.memory_bytes if memory_bytes is None else min(there.memory_bytes, memory_bytes),
        gpus=there.gpus if gpus is None else gpus,
        cpus_each=there.cpus,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a stage holds while it runs. A stage that says nothing counts as one processor."""

    cpus: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0
    mutexes: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether it is what every stage needs."""
        return self == _PLAIN


_PLAIN = Demand()


def demand_of(settings: StageSettings, machine: Machine) -> Demand:
    """What a stage with these settings holds while it runs on the machine."""
    gpus = settings.gpus or 0
    return Demand(
        cpus=_PLAIN.cpus if settings.cpus is None else settings.cpus,
        memory_bytes=settings.memory_bytes or 0,
        gpus=max(machine.gpus, 1) if gpus == ALL_GPUS else gpus,
        mutexes=frozenset(settings.mutex or ()),
    )


def find_excess(settings: StageSettings, machine: Machine) -> str | None:
    """Say what a stage asks for that the machine does not have at all; None: it can run."""
    demand = demand_of(settings, machine)
    if demand.gpus > machine.gpus:
        wanted = "1 GPU" if demand.gpus == 1 else f"{demand.gpus} GPUs"
        return f"asks for {wanted}, and {_gpus_there(machine)}"
    # What is not declared is taken as it comes: a machine of half a processor runs stages too.
    if settings.cpus is not None and demand.cpus > machine.cpus_most:
        return (
            f"asks for {cpus_text(demand.cpus)}, and a stage can have {cpus_text(machine.cpus_most)} at most"
        )
    if demand.memory_bytes > machine.memory_bytes:
        return (
            f"asks for {size_text(demand.memory_bytes)} of memory,"
            f" and a stage can have {size_text(machine.memory_bytes)} at most"
        )
    return None


def _gpus_there(machine: Machine) -> str:
    if machine.gpus == 0:
        return "the service's machine offers none to containers"
    return f"the service's machine has {machine.gpus}"


def thread_limits(cpus: float | None) -> Mapping[str, str]:
    """Variables that hold numerical libraries to the processors a stage declares; none when it declares none."""
    if cpus is None:
        return {}
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, math.floor(cpus))))


def cpus_text(cpus: float) -> str:
    """Such as "1 cpu" and "2.5 cpus"."""
    return f"{cpus:g} cpu" + ("" if cpus == 1 else "s")


_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(size_bytes: int) -> str:
    """Such as "512 MiB"; the units are binary, as in settings."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - the next unit
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}" if size < 1000 else f"{size:.0f} {_UNITS[unit]}"  # noqa: PLR2004
