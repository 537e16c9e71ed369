"""Finding and removing what services that are gone left on this machine beside the engine: the MachineTraces port.

Files in the folders that they were at work in; accounts of the kernel (control groups) of containers that are gone;
rules of the firewall for bridges that are gone. What is not at hand, because the engine is on another machine or the
service may not, is not found.
"""

import asyncio
import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from wherry.service.adapters.cgroup_usage import CgroupAccounts
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.folder_removal import remove_folder
from wherry.service.adapters.home_lock import has_lock
from wherry.service.adapters.host_commands_docker import CommandFailed, run_here
from wherry.service.adapters.stage_network_docker import bridge_of, may_here, removal_script
from wherry.service.ports.traces import MachineTraces, Trace, TraceKind

_WORKSPACES = "workspaces"
# What is under way to the store, and from it.
_PARTS = ("uploads", "node/incoming")

_CHAINS = "iptables -w -t raw -S"
_CHAIN = re.compile(r"^-N (?P<chain>\S+)$", re.MULTILINE)
_INTERFACES = Path("/sys/class/net")


class LocalTraces(MachineTraces):
    """Looks at this machine."""

    def __init__(self, engine: DockerContainerEngine) -> None:
        """Accounts are those of containers of `engine`."""
        self._engine = engine

    async def list_traces(self, homes: Collection[str]) -> Sequence[Trace]:
        """See the port."""
        accounts = await self._unused_accounts()
        return await asyncio.to_thread(
            lambda: [
                *(trace for home in sorted(homes) for trace in _files_in(Path(home))),
                *accounts,
                *_rules(),
            ]
        )

    async def remove_trace(self, trace: Trace) -> None:
        """See the port."""
        match trace.kind:
            case TraceKind.ACCOUNT:
                if (accounts := await self._accounts()) is not None:
                    await asyncio.to_thread(accounts.close, trace.id)
            case TraceKind.RULES:
                await asyncio.to_thread(_remove_rules, trace.id)
            case _:
                await asyncio.to_thread(_remove_files, Path(trace.id))

    async def _accounts(self) -> CgroupAccounts | None:
        return CgroupAccounts.of(await self._engine.call(lambda client: client.info()))

    async def _unused_accounts(self) -> list[Trace]:
        accounts = await self._accounts()
        if accounts is None:
            return []
        # The accounts first: a container that is made after they were listed has its name in the second list.
        unused = await asyncio.to_thread(accounts.list_unused)
        containers = await self._engine.call(lambda client: client.containers(all=True))
        names = {name for found in containers for name in found["Names"]}
        return [
            Trace(kind=TraceKind.ACCOUNT, id=parent, name=parent)
            for parent in unused
            if f"/{parent.rpartition('/')[2]}" not in names
        ]


def _files_in(home: Path) -> Iterator[Trace]:
    # Of any other folder nothing is touched, whatever a label says.
    if not has_lock(home):
        return
    for folder, kind in ((_WORKSPACES, TraceKind.WORKSPACE), *((part, TraceKind.FILE) for part in _PARTS)):
        with contextlib.suppress(OSError):
            for path in sorted((home / folder).iterdir()):
                yield Trace(kind=kind, id=str(path), name=f"{folder}/{path.name}", home=str(home))


def _remove_files(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        remove_folder(path)


def _rules() -> Iterator[Trace]:
    if not may_here():
        return
    with contextlib.suppress(CommandFailed):
        for found in _CHAIN.finditer(run_here(_CHAINS)):
            bridge = bridge_of(found["chain"])
            if bridge is not None and not (_INTERFACES / bridge).exists():
                yield Trace(kind=TraceKind.RULES, id=bridge, name=found["chain"])


def _remove_rules(bridge: str) -> None:
    # Gone meanwhile, with the network that was being removed.
    with contextlib.suppress(CommandFailed):
        run_here(removal_script(bridge))
