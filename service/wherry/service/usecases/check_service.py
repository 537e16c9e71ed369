"""Try everything that the service stands on, and say what to fix."""

from collections.abc import Callable

from wherry.service.domain.errors import WherryError
from wherry.service.domain.findings import Finding, FindingState
from wherry.service.domain.network import NetworkPolicy
from wherry.service.ports.containers import ContainerEngine
from wherry.service.usecases.check_store import CheckStore
from wherry.service.usecases.find_leftovers import FindLeftovers

# Less than this, and runs fail for want of space soon.
_FREE_LOW_BYTES = 2 * 10**9
_FREE_NONE_BYTES = 10**8

_LEFT_SHOWN_MAX = 5


class CheckService:
    """Checks engine, store and disk."""

    def __init__(
        self,
        *,
        engine: ContainerEngine,
        network: NetworkPolicy,
        store: CheckStore,
        leftovers: FindLeftovers,
        free_bytes: Callable[[], int],
        home: str,
        sees_reads: bool,
    ) -> None:
        """`free_bytes` says how much is free on the disk that `home` is on, `sees_reads` if reads leave a trace there."""
        self._sees_reads = sees_reads
        self._engine = engine
        self._leftovers = leftovers
        self._network = network
        self._store = store
        self._free_bytes = free_bytes
        self._home = home

    async def __call__(self) -> tuple[Finding, ...]:
        """One finding for each thing."""
        return (
            await self._check_engine(),
            await self._check_isolation(),
            await self._check_network(),
            *await self._store(),
            self._check_disk(),
            await self._check_leftovers(),
            check_reads(sees=self._sees_reads, home=self._home),
        )

    async def _check_engine(self) -> Finding:
        name = "engine"
        try:
            version = await self._engine.version()
        except WherryError as exc:
            return Finding(name=name, state=FindingState.FAILED, message=exc.message, hint=exc.hint)
        return Finding(name=name, state=FindingState.OK, message=f"the Docker engine answers: {version}")

    async def _check_leftovers(self) -> Finding:
        name = "leftovers"
        try:
            left = await self._leftovers()
        except WherryError as exc:
            return Finding(name=name, state=FindingState.WARNING, message=exc.message, hint=exc.hint)
        if not left:
            return Finding(name=name, state=FindingState.OK, message="nothing is left of ended services")
        shown = ", ".join(f"{trace.kind} {trace.name}" for trace in left[:_LEFT_SHOWN_MAX])
        homes = ", ".join(sorted({trace.home for trace in left if trace.home})[:_LEFT_SHOWN_MAX])
        whose = f", of {homes}" if homes else ""
        return Finding(
            name=name,
            state=FindingState.WARNING,
            message=f"{len(left)} things are left on the machine{whose}: {shown}",
            hint="`wherry doctor --fix` removes them.",
        )

    async def _check_isolation(self) -> Finding:
        name = "isolation"
        try:
            lacks = await self._engine.lacks_of_isolation()
        except WherryError as exc:
            return Finding(name=name, state=FindingState.FAILED, message=exc.message, hint=exc.hint)
        if lacks:
            hint = "Run the engine with its default seccomp profile."
            return Finding(name=name, state=FindingState.WARNING, message=lacks, hint=hint)
        said = "the engine confines stages as it should"
        return Finding(name=name, state=FindingState.OK, message=said)

    async def _check_network(self) -> Finding:
        name, state = "network", FindingState.WARNING
        if self._network.withheld:
            message = f"stages have no network: {self._network.withheld}"
            return Finding(name=name, state=state, message=message, hint=self._network.hint)
        try:
            await self._engine.check_network()
        except WherryError as exc:
            return Finding(name=name, state=FindingState.FAILED, message=exc.message, hint=exc.hint)
        said = "stages may have a network, from which this machine and the metadata address are not reached"
        return Finding(name=name, state=FindingState.OK, message=said)

    def _check_disk(self) -> Finding:
        free = self._free_bytes()
        state = FindingState.OK if free >= _FREE_LOW_BYTES else FindingState.WARNING
        if free < _FREE_NONE_BYTES:
            state = FindingState.FAILED
        return Finding(
            name="disk",
            state=state,
            message=f"{free / 10**9:.1f} GB are free at {self._home}",
            hint="" if state is FindingState.OK else "Make room there, or move WHERRY_HOME to a larger disk.",
        )


def check_reads(*, sees: bool, home: str) -> Finding:
    """Say whether it can be told what stages read without declaring it."""
    if sees:
        return Finding(
            name="reads", state=FindingState.OK, message="undeclared files that stages read are seen"
        )
    return Finding(
        name="reads",
        state=FindingState.WARNING,
        message=f"the file system of {home} keeps no access times, so it cannot be seen which files a stage reads: "
        "after a change of any file of a project, its stages run again",
        hint="Mount it with relatime (the default) instead of noatime, or move WHERRY_HOME.",
    )
