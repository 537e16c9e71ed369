"""The network of stages: a bridge of the service's own, from which only the outside world is reached.

Not reached from it: the machine itself (whatever address, whatever port is published on it), other containers,
link-local addresses (the metadata services of clouds), and what the operator denies. The rules stand in the chain
that the kernel asks first, before anything that Docker or a firewall translates, and name the bridge, so that
nothing else on the machine is touched. They are put in place again and again, because a firewall that is
reloaded forgets them.
"""

import contextlib
import ipaddress
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker.errors
from docker import APIClient

from wherry.service.adapters.host_commands_docker import CommandFailed, run_here, run_on_engine_host
from wherry.service.domain.errors import EngineUnavailable

# Longest name of a network interface: the bridge is called as the network is.
_NAME_MAX = 15

# Where clouds answer for the machine: all link-local addresses (Amazon, Google, Azure, Oracle, OpenStack), then
# the two that are not link-local (Azure's wire server, Alibaba).
_METADATA = ("169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32")

# Putting the rules in place takes 25 ms here and half a second through a helper container: not before each container.
_HERE_EVERY_S = 10.0
_HELPER_EVERY_S = 60.0

_ICC = "com.docker.network.bridge.enable_icc"
_BRIDGE = "com.docker.network.bridge.name"

_CONFLICT = 409

_CHAIN = "STAGES-"

# The second where the first names only a resolver on this machine's loopback: the engine reads them so too.
_RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class StageNetwork:
    """One network on one engine. Its methods block, and may be called from several threads."""

    def __init__(
        self,
        name: str,
        *,
        guarded: bool = True,
        denied: Sequence[str] = (),
        labels: dict[str, str] | None = None,
        every_s: float = _HERE_EVERY_S,
    ) -> None:
        """Call it and its bridge `name`; deny the networks `denied` too. Not `guarded`: the operator sees to it.

        Raises:
            ValueError: if the name is too long for a bridge, or what is denied is no IPv4 network.
        """
        if len(name) > _NAME_MAX:
            raise ValueError(f"{name!r} is longer than the {_NAME_MAX} characters of an interface's name")
        self.name = name
        self._guarded = guarded
        self._denied = tuple(str(ipaddress.IPv4Network(network)) for network in denied)
        self.labels = {"wherry": "stages", **(labels or {})}
        self._lock = threading.Lock()
        self._every_s = every_s
        self._guarded_until_s = 0.0

    def ensure(self, client: APIClient) -> frozenset[str]:
        """See that it is there and guarded; returns the ids of the containers that are in it and run.

        Asked each time: `docker network prune` takes a network not in use.

        Raises:
            EngineUnavailable: if it cannot be had, or not be guarded.
        """
        with self._lock:
            try:
                network: dict[str, Any] = client.inspect_network(self.name)
            except docker.errors.NotFound:
                network = self._make(client)
                self._guarded_until_s = 0.0
            if network["Options"].get(_ICC) != "false" or "wherry" not in (network["Labels"] or {}):
                raise EngineUnavailable(
                    f"the network {self.name!r} exists on the engine but is not Wherry's",
                    hint=f"Remove it (docker network rm {self.name}): Wherry makes it as it must be.",
                )
            if self._guarded:
                self._guard(client, [str(part["Subnet"]) for part in network["IPAM"]["Config"]])
            return frozenset(network.get("Containers") or ())

    def remove(self, client: APIClient) -> bool:
        """Remove it and its rules, unless a container still uses it. Harmless when it is gone."""
        with self._lock:
            here = self._is_here()
            try:
                client.remove_network(self.name)
            except docker.errors.NotFound:
                # Somebody pruned it: its rules may still be there.
                here = may_here()
            except docker.errors.APIError:  # in use
                return False
            if self._guarded:
                with contextlib.suppress(CommandFailed):
                    self._run(client, removal_script(self.name), here=here)
            return True

    def _make(self, client: APIClient) -> dict[str, Any]:
        try:
            client.create_network(
                self.name,
                driver="bridge",
                check_duplicate=True,
                options={_ICC: "false", _BRIDGE: self.name},
                labels=self.labels,
                enable_ipv6=False,
            )
        except docker.errors.APIError as exc:
            if "address pool" in str(exc.explanation):
                raise EngineUnavailable(
                    "the Docker engine has no addresses left for another network",
                    hint="Remove networks that nobody uses (`wherry doctor --fix`, `docker network prune`), or give "
                    "the engine more (default-address-pools in its daemon.json).",
                ) from exc
            if exc.status_code != _CONFLICT:  # somebody else made it: what is there is checked
                raise
        made: dict[str, Any] = client.inspect_network(self.name)
        return made

    def _guard(self, client: APIClient, subnets: list[str]) -> None:
        if time.monotonic() < self._guarded_until_s:
            return
        here = self._is_here()
        resolvers = read_resolvers(_RESOLVER_FILES)
        script = guard_script(
            self.name,
            sources=subnets,
            denied=(*subnets, *_METADATA, *self._denied),
            resolvers=resolvers,
        )
        try:
            valid_s = self._run(client, script, here=here)
        except CommandFailed as exc:
            raise EngineUnavailable(
                f"the network of stages cannot be guarded: {exc}",
                hint="Install iptables on the engine's machine; or keep the metadata address and the machine itself "
                "out of reach by other means and set WHERRY_NETWORK_GUARD=none.",
            ) from exc
        self._guarded_until_s = time.monotonic() + valid_s

    def _is_here(self) -> bool:
        """Whether the engine's bridges are in this machine's network: not with a remote engine, or one in a VM."""
        return may_here() and Path("/sys/class/net", self.name).exists()

    def _run(self, client: APIClient, script: str, *, here: bool) -> float:
        """Run it, and say for how many seconds it need not be run again."""
        if here:
            with contextlib.suppress(CommandFailed):  # root without the right to: in a container, for one
                run_here(script)
                return self._every_s
        run_on_engine_host(client, script, labels=self.labels)
        return max(_HELPER_EVERY_S, self._every_s)


def may_here() -> bool:
    """Whether this process can make rules, as far as that can be told beforehand."""
    return os.geteuid() == 0 and shutil.which("iptables") is not None


def guard_script(
    bridge: str, *, sources: Sequence[str], denied: Sequence[str], resolvers: Sequence[str]
) -> str:
    """A shell script that lets what comes from a bridge only into the outside world. Harmless to repeat.

    What says that it comes from elsewhere than `sources`, one network, goes nowhere. Names are resolved: DNS is asked where the machine asks it, be that at a metadata address.
    """
    chain = _chain(bridge)
    rules = [
        # Steps of a Dockerfile may write packets themselves.
        *(f"-A {chain} ! -s {source} -j DROP" for source in sources),
        *(
            f"-A {chain} -d {resolver}/32 -p {protocol} -m {protocol} --dport 53 -j RETURN"
            for resolver in resolvers
            for protocol in ("udp", "tcp")
        ),
        *(
            f"-A {chain} -m addrtype --dst-type {kind} -j DROP"
            for kind in ("LOCAL", "BROADCAST", "MULTICAST")
        ),
        *(f"-A {chain} -d {network} -j DROP" for network in denied),
    ]
    return "\n".join(
        [
            # Else frames between containers of one bridge pass no rules, and would reach each other.
            'if [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" != 1 ]; then',
            "  echo 'net.bridge.bridge-nf-call-iptables is not 1' >&2; exit 1",
            "fi",
            # All at once, the old rules of the chain replaced.
            "iptables-restore -w --noflush <<'END'",
            "*raw",
            f":{chain} - [0:0]",
            *rules,
            "COMMIT",
            "END",
            f"iptables -w -t raw -C PREROUTING -i {bridge} -j {chain} 2>/dev/null ||",
            f"  iptables -w -t raw -I PREROUTING -i {bridge} -j {chain}",
            # The machine's own end of the bridge would answer to IPv6, which nobody there is given.
            f"speaks=/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6",
            'if [ -e "$speaks" ] && ! { echo 1 >"$speaks"; } 2>/dev/null; then',
            f"  ip6tables -w -t raw -C PREROUTING -i {bridge} -j DROP 2>/dev/null ||",
            f"    ip6tables -w -t raw -I PREROUTING -i {bridge} -j DROP",
            "fi",
        ]
    )


def removal_script(bridge: str) -> str:
    """A shell script that takes the rules away. Harmless to repeat."""
    chain = _chain(bridge)
    return "\n".join(
        [
            f"while iptables -w -t raw -D PREROUTING -i {bridge} -j {chain} 2>/dev/null; do :; done",
            f"while ip6tables -w -t raw -D PREROUTING -i {bridge} -j DROP 2>/dev/null; do :; done",
            f"iptables -w -t raw -F {chain} 2>/dev/null || exit 0",
            f"iptables -w -t raw -X {chain}",
        ]
    )


def read_resolvers(files: Sequence[Path]) -> tuple[str, ...]:
    """The IPv4 name servers that the machine asks, as the first file says that names others than loopback."""
    for file in files:
        with contextlib.suppress(OSError):
            found = tuple(_resolvers(file.read_text(errors="replace")))
            if found:
                return found
    return ()


def _resolvers(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                address = ipaddress.IPv4Address(words[1])
                if not address.is_loopback:
                    yield str(address)


def bridge_of(chain: str) -> str | None:
    """The bridge whose rules a chain has; None: the chain is somebody else's."""
    return chain.removeprefix(_CHAIN) if chain.startswith(_CHAIN) else None


def _chain(bridge: str) -> str:
    return f"{_CHAIN}{bridge}"
