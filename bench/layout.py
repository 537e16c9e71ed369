"""What it takes to have a dependency folder of many files in a workspace that was there before, side by side in one run.

Beside Wherry's own layout: `cp -r`, `cp -al` (hard links) of the same files on the same disk, and Wherry's way for small
folders, a hard link for each file. Each with its removal, for a workspace is used once. The node holds everything
already: not here is the transfer. A container that reads the folder is not part of the figures.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.task import AttemptId, InputData
from wherry.service.domain.tree import Tree, TreeEntry

_STAGE_UID = 10001

# The bar: a folder of 100,000 files, seen before, is in the workspace in under a second.
_AGAIN_MAX_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Seconds; of Wherry's ways medians. "make" without and "remove" for the removal."""

    files: int
    first_s: float
    again_make_s: float
    again_remove_s: float
    linked_make_s: float
    linked_remove_s: float
    cp_links_make_s: float
    cp_copy_make_s: float
    cp_remove_s: float
    ratio_to_cp_links: float
    ratio_to_cp_copy: float
    met: bool


class _Node:
    """A node that holds one tree."""

    def __init__(self, folder: Path, files: int) -> None:
        # Everything is on the node: the store is never asked, so none runs.
        store = S3ObjectStore.connect(
            S3Settings(bucket="none", endpoint_url="http://127.0.0.1:9", access_key="-", secret_key="-")
        )
        self._cache = LocalNodeCache(folder / "node", store=store)
        self._folder = folder
        self._source = folder / "source"
        self._files = files

    async def fill(self) -> BlobHash:
        """Make the files, each with a content of its own, and give them to the node."""
        entries = []
        for number in range(self._files):
            path = f"{number // 1000:03}/{number:06}.txt"
            target = self._source / path
            target.parent.mkdir(parents=True, exist_ok=True)
            content = f"content of {number}\n".encode()
            target.write_bytes(content)
            entries.append(TreeEntry(path, hash_content(content)))
        for entry in entries:
            await self._cache.adopt(entry.hash, self._source / entry.path)
        tree = Tree.of(entries)
        name = tree.digest().hash
        listing = self._folder / "listing"
        listing.write_bytes(tree.to_bytes())
        await self._cache.adopt(name, listing)
        return name

    async def lay_out(self, tree: BlobHash, *, mount_from_files: int) -> tuple[float, float]:
        """Seconds for laying a workspace out and for removing it."""
        workspaces = LocalWorkspaces(
            self._folder / "workspaces",
            cache=self._cache,
            uid=_STAGE_UID,
            gid=_STAGE_UID,
            mount_from_files=mount_from_files,
        )
        begin = time.perf_counter()
        workspace = await workspaces.create(AttemptId("bench"))
        data = [InputData(project_path=ProjectPath("data"), hash=tree)]
        mounts = await workspaces.lay_out(workspace, files={}, data=data, folders=[])
        made = time.perf_counter()
        seen = mounts.get(ProjectPath("data"), workspace / "data")
        assert (seen / "000" / "000000.txt").read_bytes() == b"content of 0\n"
        checked = time.perf_counter()
        await workspaces.remove(workspace)
        removed = time.perf_counter()
        workspaces.close()
        return made - begin, removed - checked

    def copy(self, *flags: str) -> tuple[float, float]:
        """Seconds of cp and of rm -r."""
        target = self._folder / "copy"
        made = _seconds(["cp", *flags, str(self._source), str(target)])
        return made, _seconds(["rm", "-r", "-f", str(target)])

    def close(self) -> None:
        self._cache.close()


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - begin


def _median(
    rounds: int, action: Callable[[], Coroutine[Any, Any, tuple[float, float]]]
) -> tuple[float, float]:
    pairs = [asyncio.run(action()) for _ in range(rounds)]
    return statistics.median(made for made, _ in pairs), statistics.median(removed for _, removed in pairs)


def measure(folder: Path, files: int, rounds: int) -> Figures:
    """Do everything on one disk."""
    node = _Node(folder, files)
    tree = asyncio.run(node.fill())
    everything = 10**9
    # As long as the tree is not prepared: what is there is used, whatever its size.
    linked = _median(rounds, lambda: node.lay_out(tree, mount_from_files=everything))
    first, _ = asyncio.run(node.lay_out(tree, mount_from_files=1))
    again = _median(rounds, lambda: node.lay_out(tree, mount_from_files=1))
    # Once each: they are slower by orders of magnitude.
    cp_links, cp_remove = node.copy("-al")
    cp_copy, _ = node.copy("-r")
    node.close()
    return Figures(
        files=files,
        first_s=first,
        again_make_s=again[0],
        again_remove_s=again[1],
        linked_make_s=linked[0],
        linked_remove_s=linked[1],
        cp_links_make_s=cp_links,
        cp_copy_make_s=cp_copy,
        cp_remove_s=cp_remove,
        ratio_to_cp_links=again[0] / cp_links,
        ratio_to_cp_copy=again[0] / cp_copy,
        met=again[0] < _AGAIN_MAX_S,
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="wherry-layout-"))
    try:
        figures = measure(folder, options.files, options.rounds)
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps({"schema": "wherry.bench.layout/1", **asdict(figures)}))
        return
    print(
        f"a folder of {figures.files:,} files in a workspace, in seconds (Wherry: medians of {options.rounds})"
    )
    print(f"  wherry, first time on the node     {figures.first_s:8.3f}")
    print(
        f"  wherry, seen before                {figures.again_make_s:8.3f}   removal {figures.again_remove_s:.3f}"
    )
    print(
        f"  wherry, a hard link for each file  {figures.linked_make_s:8.3f}   removal {figures.linked_remove_s:.3f}"
    )
    print(
        f"  cp -al                             {figures.cp_links_make_s:8.3f}   rm -r {figures.cp_remove_s:.3f}"
    )
    print(f"  cp -r                              {figures.cp_copy_make_s:8.3f}")
    print(
        f"  of cp -al {figures.ratio_to_cp_links:.4f}, of cp -r {figures.ratio_to_cp_copy:.4f}; "
        f"under {_AGAIN_MAX_S:.0f} s: {'met' if figures.met else 'NOT MET'}"
    )


if __name__ == "__main__":
    main()
