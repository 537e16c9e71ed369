"""What the containers of an engine use: from the kernel's accounts, or else from the engine."""

import threading
from typing import Any

import docker.errors
from docker import APIClient

from wherry.service.adapters.cgroup_usage import CgroupAccounts, usage_of_sample
from wherry.service.domain.usage import Usage


class ContainerUsage:
    """Knows the account of every container until it is removed. Its methods block, and are called by threads."""

    def __init__(self) -> None:
        """Nothing is asked of the engine before the first container."""
        self._lock = threading.Lock()
        self._is_known = False
        self._accounts: CgroupAccounts | None = None
        self._parents: dict[str, str] = {}

    def parent_for(self, client: APIClient, name: str) -> str | None:
        """The account under which to make the container of this name; None: the engine has no such thing."""
        accounts = self._find(client)
        return None if accounts is None else accounts.parent(name)

    def made(self, container: str, parent: str | None) -> None:
        """Remember a container's account."""
        if parent is not None:
            self._parents[container] = parent

    def read(self, client: APIClient, container: str) -> Usage:
        """What it has used so far. Of one that has ended, only accounts tell."""
        accounts = self._find(client)
        parent = self._parent_of(client, container)
        if accounts is not None and parent:
            return accounts.read(parent)
        untyped: Any = client
        # Without one_shot the engine waits a second for another sample.
        return usage_of_sample(untyped.stats(container, stream=False, one_shot=True))

    def parent_before_removal(self, client: APIClient, container: str) -> str:
        """The account that is to be closed once the container is gone; empty: none."""
        return self._parent_of(client, container) if self._find(client) is not None else ""

    def removed(self, container: str, parent: str) -> None:
        """Close the account of a container that is gone."""
        self._parents.pop(container, None)
        if parent and self._accounts is not None:
            self._accounts.close(parent)

    def _find(self, client: APIClient) -> CgroupAccounts | None:
        with self._lock:
            if not self._is_known:
                self._accounts = CgroupAccounts.of(client.info())
                self._is_known = True
            return self._accounts

    def _parent_of(self, client: APIClient, container: str) -> str:
        """An earlier life of the service may have made the container."""
        parent = self._parents.get(container)
        if parent is None:
            try:
                parent = str(client.inspect_container(container)["HostConfig"].get("CgroupParent") or "")
            except docker.errors.NotFound:
                return ""
            self._parents[container] = parent
        return parent
