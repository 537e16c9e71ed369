"""Networks that are there before the container that uses them: each held by a container that does nothing.

To give a container a network takes the engine as long as all else of its start: an interface, addresses, rules, and
a resolver of names that it starts in there. The stages of one run therefore use the same ones, one stage at a time.
They never pass to another run, whose traffic could be taken for that of the one before. A container for which none is
free gets a network of its own, as if there were no holders; each third time that happens within a run, one is made
behind its back, so that runs of a stage or two pay nothing. When the run ends they are removed. A few may be made
ahead, while nothing else begins: the first containers of a run take those.
"""

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import docker.errors
import requests.exceptions
from docker import APIClient
from docker.types import LogConfig

from wherry.service.adapters.holder_image_docker import PROGRAM, can_hold, ensure_image
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.domain.errors import EngineUnavailable

HOLDER_LABEL = "wherry.holds"
"""On every holder: the name of the network that it holds a place in."""

# So many containers have had to have a network of their own when a holder is made: that costs about as much.
_MISSED = 3

# Those that were made ahead belong to no run yet.
_AHEAD = ""

# None is made ahead until no container has come or gone for so long: what begins, and what goes on to, comes first.
_QUIET_S = 2.0

# How long none is made after one could not be made.
_AGAIN_S = 60.0

# How long the end of the service waits for one that is being made.
_MADE_WITHIN_S = 60.0

# Those whose containers keep to the network namespace that they are put in. gVisor's takes the addresses out of it.
_RUNTIMES = frozenset({"runc", "crun", "io.containerd.runc.v2", "nvidia"})

_NOBODY = "65534:65534"

_JOINED = "container:"
_ENDED = frozenset({"exited", "dead"})

_FAILURES = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    OSError,
    EngineUnavailable,
)


@dataclass(slots=True)
class _Holder:
    id: str
    group: str
    is_free: bool = True


class NetworkHolders:
    """Those of one service on one engine. Its methods block unless they say otherwise, and may be called from several threads."""

    def __init__(
        self,
        network: StageNetwork,
        *,
        most: int,
        runtime: str,
        later: Callable[[Callable[[APIClient], None]], None],
        ahead: int = 0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make at most `most` in `network`, and `ahead` for runs to come, for containers that run in `runtime`.

        `later` does something behind one's back.
        """
        self._network = network
        self._most = most
        self._runtime = runtime
        self._later = later
        self._ahead = ahead
        self._now_s = now_s
        self._changed = threading.Condition()
        self._removing = threading.Lock()
        self._holders: list[_Holder] = []
        self._used: dict[str, _Holder] = {}
        self._missed = Counter[str]()
        self._groups: set[str] = {_AHEAD} if ahead else set()
        self._making: set[str] = set()
        self._not_before_s = -math.inf
        self._busy_s = -math.inf
        # What could not be removed, and what containers of an earlier life of the service still use.
        self._left: set[str] = set()
        self._is_swept = False
        self._machine: str | None = None

    def take(self, name: str, group: str) -> str | None:
        """A holder for the container of this name, until `put_back`; None: it is to have a network of its own. Does not block."""
        if not group:
            return None
        with self._changed:
            self._busy_s = self._now_s()
            self._groups.add(group)
            holder = self._free(group) or self._free(_AHEAD)
            if holder is None:
                self._miss(group)
                return None
            if holder.group != group:
                self._has_place(group)
                holder.group = group
            holder.is_free = False
            self._used[name] = holder
            return holder.id

    def lacks_ahead(self) -> bool:
        """Whether one more is to be made ahead, and now is a time to do it. Does not block."""
        with self._changed:
            return self._lacks_ahead()

    def make_ahead(self, client: APIClient) -> None:
        """Make one for a run to come, if one is still lacking. That it cannot be made is no failure."""
        with self._changed:
            if not self._lacks_ahead():
                return
            self._making.add(_AHEAD)
        self._make(client, _AHEAD)

    def rename(self, name: str, container: str) -> None:
        """The container that was called so until it was made is called otherwise now. Does not block."""
        with self._changed:
            self._busy_s = self._now_s()
            if (holder := self._used.pop(name, None)) is not None:
                self._used[container] = holder

    def put_back(self, container: str) -> None:
        """A container has ended, or was never made: another one may have its holder. Does not block."""
        with self._changed:
            self._busy_s = self._now_s()
            if (holder := self._used.pop(container, None)) is not None:
                holder.is_free = True
                if holder.group not in self._groups:
                    self._forget([holder])

    def drop(self, name: str) -> None:
        """What was given to the container of this name is of no use: it has ended. Does not block."""
        with self._changed:
            if (holder := self._used.pop(name, None)) is not None:
                self._forget([holder])

    def end(self, group: str) -> None:
        """No more containers of a group come: have its holders removed. Does not block."""
        with self._changed:
            self._groups.discard(group)
            self._missed.pop(group, None)
            self._forget([item for item in self._holders if item.group == group and item.is_free])

    def sweep(self, client: APIClient) -> None:
        """Remove those of an earlier life of the service, except where a container still runs in one. Once is enough."""
        if self._is_swept:
            return
        found = client.containers(all=True, filters={"label": f"{HOLDER_LABEL}={self._network.name}"})
        with self._changed:
            # What is being made now looks the same.
            if self._making:
                return
            own = {holder.id for holder in self._holders}
        self._remove(client, {container["Id"] for container in found} - own)
        self._is_swept = True

    def has_left(self) -> bool:
        """Whether some are to be removed as soon as nothing runs in them. Does not block."""
        return bool(self._left)

    def settle(self, client: APIClient) -> None:
        """Remove what could not be removed before."""
        self._remove(client, ())

    def close(self, client: APIClient) -> None:
        """Remove all in which nothing runs, also such as are being made."""
        with self._changed:
            self._groups.clear()
            self._changed.wait_for(lambda: not self._making, _MADE_WITHIN_S)
            unused = [holder for holder in self._holders if holder.is_free]
            self._holders = [holder for holder in self._holders if not holder.is_free]
        self._remove(client, {holder.id for holder in unused})

    def _free(self, group: str) -> _Holder | None:
        """With the lock held. One of the group that no container uses."""
        return next((holder for holder in self._holders if holder.is_free and holder.group == group), None)

    def _lacks_ahead(self) -> bool:
        """With the lock held."""
        if _AHEAD not in self._groups or _AHEAD in self._making:
            return False
        if self._now_s() < max(self._not_before_s, self._busy_s + _QUIET_S):
            return False
        return sum(holder.group == _AHEAD for holder in self._holders) < self._ahead

    def _miss(self, group: str) -> None:
        """With the lock held. One at a time is made for a group."""
        if group in self._making or self._now_s() < self._not_before_s:
            return
        self._missed[group] += 1
        if self._missed[group] < _MISSED or not self._has_place(group):
            return
        self._missed[group] = 0
        self._making.add(group)
        self._later(lambda client: self._make(client, group))

    def _has_place(self, group: str) -> bool:
        """With the lock held. Where there are enough, an idle one of another group makes place for one more of this one."""
        taken = [holder for holder in self._holders if holder.group != _AHEAD]
        if len(taken) + len(self._making - {_AHEAD}) < self._most:
            return True
        others = [holder for holder in taken if holder.is_free and holder.group != group]
        self._forget(others[:1])
        return bool(others)

    def _forget(self, holders: Collection[_Holder]) -> None:
        """With the lock held."""
        gone = {holder.id for holder in holders}
        if gone:
            self._holders = [holder for holder in self._holders if holder.id not in gone]
            self._left |= gone
            self._later(self.settle)

    def _make(self, client: APIClient, group: str) -> None:
        try:
            made = self._hold(client) if self._can_hold(client) else None
            with self._changed:
                # Else its run has ended meanwhile, or the service is about to.
                if made is not None and group in self._groups:
                    self._holders.append(_Holder(made, group))
                    made = None
            if made is not None:
                self._remove(client, {made})
        except _FAILURES:
            # A stage that could have been quicker is not worth a word.
            self._not_before_s = self._now_s() + _AGAIN_S
        finally:
            with self._changed:
                self._making.discard(group)
                self._changed.notify_all()

    def _can_hold(self, client: APIClient) -> bool:
        if self._machine is None:
            info = client.info()
            runtime = self._runtime or str(info.get("DefaultRuntime"))
            machine = str(info.get("Architecture"))
            self._machine = machine if runtime in _RUNTIMES and can_hold(machine) else ""
        if not self._machine:
            self._not_before_s = math.inf
        return bool(self._machine)

    def _hold(self, client: APIClient) -> str:
        self._network.ensure(client)
        host = client.create_host_config(
            network_mode=self._network.name,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            ipc_mode="private",
            log_config=LogConfig(type="none"),
        )
        config = client.create_container_config(
            image=ensure_image(client, self._machine or ""),
            entrypoint=[PROGRAM],
            command=[],
            user=_NOBODY,
            labels={**self._network.labels, HOLDER_LABEL: self._network.name},
            host_config=host,
        )
        untyped: Any = client
        made = str(untyped.create_container_from_config(config)["Id"])
        try:
            client.start(made)
        except _FAILURES:
            self._remove(client, {made})
            raise
        return made

    def _remove(self, client: APIClient, holders: Collection[str]) -> None:
        """Where that is not possible now it is tried again when the next one is to be removed."""
        with self._changed:
            self._left.update(holders)
        with self._removing, contextlib.suppress(*_FAILURES):
            wanted = set(self._left)
            for holder in wanted - _in_use(client) if wanted else ():
                with contextlib.suppress(docker.errors.NotFound):
                    client.remove_container(holder, force=True, v=True)
                with self._changed:
                    self._left.discard(holder)


def is_holder(labels: dict[str, str] | None) -> bool:
    """Whether a container with these labels holds a network."""
    return HOLDER_LABEL in (labels or {})


def _in_use(client: APIClient) -> set[str]:
    """The containers whose network others use that have not ended."""
    modes = (
        str(found["HostConfig"]["NetworkMode"])
        for found in client.containers(all=True)
        if found["State"] not in _ENDED
    )
    return {mode.removeprefix(_JOINED) for mode in modes if mode.startswith(_JOINED)}
