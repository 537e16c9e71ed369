"""What containers use, read from the kernel's own accounts where the engine's are at hand.

The kernel forgets a container's account with the container. So each container gets an account above its own
(`--cgroup-parent`), which stays until it has been read. That is possible where the engine keeps the accounts itself
(cgroup driver "cgroupfs") in its usual place, on this machine; elsewhere (systemd) the engine is asked while the container
runs.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from wherry.service.domain.usage import Usage

_ROOT = Path("/sys/fs/cgroup")
# Below the engine's own group: limits that an operator sets on that hold.
_ENGINE = "docker"

OURS = "wherry-"
"""How the names of containers of services begin."""


class BoundAccount:
    """An account with a bound, which is in use until it is released: the kernel sees to that, however its owner ends."""

    def __init__(self, parent: str, descriptor: int) -> None:
        """`descriptor` holds a lock on the account's folder."""
        self.parent = parent
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Nothing more will run there. Harmless when it was said before."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        # Who wanted it may have gone before it was there.
        self.release()


class CgroupAccounts:
    """Accounts of containers, one for each name."""

    def __init__(self, root: Path, *, unified: bool) -> None:
        """`unified`: version 2, one tree; else a tree for each controller."""
        self._root = root
        self._unified = unified

    @classmethod
    def of(cls, info: Mapping[str, Any], root: Path = _ROOT) -> Self | None:
        """For an engine by its description of itself; None when its accounts are not at hand."""
        unified = str(info.get("CgroupVersion", "1")) == "2"
        trees = [root] if unified else [root / "memory", root / "cpuacct"]
        if info.get("CgroupDriver") != "cgroupfs" or not all((tree / _ENGINE).is_dir() for tree in trees):
            return None
        return cls(root, unified=unified)

    def parent(self, name: str) -> str:
        """What to give as --cgroup-parent for the container of this name."""
        return f"/{_ENGINE}/{name}"

    def read(self, parent: str) -> Usage:
        """What was used under a parent so far."""
        if self._unified:
            folder = self._folder("", parent)
            return Usage(
                peak_memory_bytes=_peak(
                    _number(folder / "memory.peak"),
                    _number(folder / "memory.current"),
                    _pairs(folder / "memory.stat"),
                    prefix="",
                    files="file",
                ),
                cpu_s=_seconds(_pairs(folder / "cpu.stat").get("usage_usec"), per_second=10**6),
                read_bytes=_summed(folder / "io.stat", "rbytes="),
                written_bytes=_summed(folder / "io.stat", "wbytes="),
            )
        memory, disk = self._folder("memory", parent), self._folder("blkio", parent)
        return Usage(
            peak_memory_bytes=_peak(
                _number(memory / "memory.max_usage_in_bytes"),
                _number(memory / "memory.usage_in_bytes"),
                _pairs(memory / "memory.stat"),
                prefix="total_",
                files="cache",
            ),
            cpu_s=_seconds(_number(self._folder("cpuacct", parent) / "cpuacct.usage"), per_second=10**9),
            read_bytes=_summed(disk / "blkio.throttle.io_service_bytes_recursive", "Read"),
            written_bytes=_summed(disk / "blkio.throttle.io_service_bytes_recursive", "Write"),
        )

    def list_unused(self) -> list[str]:
        """Accounts under which nothing runs: those of containers that have ended, and of such as are gone."""
        tree = self._root / ("" if self._unified else "memory") / _ENGINE
        unused = [self.parent(folder.name) for folder in sorted(tree.glob(f"{OURS}*/")) if _is_unused(folder)]
        return [parent for parent in unused if not _is_held(self._bounded(parent))]

    def bound_processes(self, parent: str, pids_max: int) -> BoundAccount | None:
        """Let at most so many processes run under a parent, which is made; None where that cannot be said.

        Until it is released nobody takes it for one that was left, though between two steps of a build nothing runs there.
        """
        folder = self._bounded(parent)
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                (folder / "pids.max").write_text(str(pids_max))
            except OSError:
                os.close(descriptor)
                raise
            return BoundAccount(parent, descriptor)
        return None

    def close(self, parent: str) -> bool:
        """Remove the account of a container that is gone. Harmless when there is none; False: it is still in use."""
        if _is_held(self._bounded(parent)):
            return False
        trees = [self._root] if self._unified else [tree for tree in self._root.iterdir() if tree.is_dir()]
        for tree in trees:
            with contextlib.suppress(OSError):
                (tree / parent.lstrip("/")).rmdir()
        return not any((tree / parent.lstrip("/")).exists() for tree in trees)

    def _bounded(self, parent: str) -> Path:
        return self._folder("" if self._unified else "pids", parent)

    def _folder(self, controller: str, parent: str) -> Path:
        return self._root / controller / parent.lstrip("/")


def usage_of_sample(sample: Mapping[str, Any]) -> Usage:
    """Read the engine's answer to "stats" of a container that runs; of one that does not it is empty."""
    memory, cpu = sample.get("memory_stats") or {}, sample.get("cpu_stats") or {}
    stats = memory.get("stats") or {}
    disk = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    prefix, files = ("total_", "cache") if "total_cache" in stats else ("", "file")
    return Usage(
        peak_memory_bytes=_peak(
            memory.get("max_usage"), memory.get("usage"), stats, prefix=prefix, files=files
        ),
        cpu_s=_seconds((cpu.get("cpu_usage") or {}).get("total_usage") or None, per_second=10**9),
        read_bytes=_bytes_of(disk, "read"),
        written_bytes=_bytes_of(disk, "write"),
    )


def _bytes_of(disk: list[Mapping[str, Any]], kind: str) -> int | None:
    found = [int(item["value"]) for item in disk if str(item.get("op", "")).lower() == kind]
    return sum(found) if found else None


def _is_unused(account: Path) -> bool:
    try:
        return not any(inner.is_dir() for inner in account.iterdir())
    except OSError:  # gone meanwhile
        return False


def _is_held(account: Path) -> bool:
    """Whether somebody has bound it and goes on using it."""
    try:
        descriptor = os.open(account, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # not bound, or gone
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _peak(
    most: int | None, now: int | None, stats: Mapping[str, int], *, prefix: str, files: str
) -> int | None:
    """Without content of files, which counts as the container's memory until the kernel needs it otherwise.

    How much of `most` was that is not known any more: what is kept now is taken off.
    """
    seen = [value for value in (most, now) if value is not None]
    if not seen:
        return None
    kept = stats.get(f"{prefix}{files}", 0) - stats.get(f"{prefix}shmem", 0)
    return max(0, max(seen) - max(0, kept))


def _seconds(count: int | None, *, per_second: int) -> float | None:
    return None if count is None else count / per_second


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _pairs(path: Path) -> dict[str, int]:
    return {
        words[0]: int(words[1])
        for words in map(str.split, _lines(path))
        if len(words) == 2 and words[1].isdecimal()  # noqa: PLR2004 - a name and a number
    }


def _summed(path: Path, what: str) -> int | None:
    """Over all disks: "8:0 Read 512" or "8:0 rbytes=512". None: no disk is counted."""
    found = []
    for line in _lines(path):
        words = line.split()
        for at, word in enumerate(words):
            if word == what and at + 1 < len(words):
                found.append(int(words[at + 1]))
            elif what.endswith("=") and word.startswith(what):
                found.append(int(word.removeprefix(what)))
    return sum(found) if found else None


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text().splitlines()
    except OSError:
        return
