"""Find the known result of the same stage that differs least from what is wanted, and say how."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from wherry.service.domain.explanation import (
    Difference,
    KeyParts,
    content_text,
    dependency_text,
    family_of,
    find_nearest,
    parts_of,
)
from wherry.service.domain.paths import relative_to
from wherry.service.domain.run import StageRecord
from wherry.service.domain.task import StageTask, StrictKey
from wherry.service.domain.undeclared import all_files, still_holds
from wherry.service.ports.run_cache import Result, RunCache

# Older results than these are seldom what somebody compares with in mind.
_COMPARED_MAX = 20

Near = tuple[Result, tuple[Difference, ...]]


class FindNearestResult:
    """Compares with the newest results of a family. Whether their blobs are held does not matter here."""

    def __init__(self, cache: RunCache) -> None:
        """Look in `cache`."""
        self._cache = cache

    async def __call__(self, task: StageTask) -> Near | None:
        """Compare with a stage that is ready to run; None when no result of it is known."""
        found = await self._cache.list_family(family_of(task.stage, task.root_at), limit=_COMPARED_MAX)
        # One that has all that is wanted is here only when its blobs are gone: nothing differs from it.
        others = [
            result for result in found if result.key != task.key or not still_holds(result.undeclared, task)
        ]
        return find_nearest(_parts_with_files(task, others), others, key_parts_of)

    async def before(self, result: Result, until: datetime) -> Near | None:
        """Compare a result with those of its family that were known at `until`."""
        others = [
            other
            for other in await self._others(result, None, until)
            if (other.key, other.undeclared) != (result.key, result.undeclared)
        ]
        return find_nearest(key_parts_of(result), others, key_parts_of)

    async def of_record(self, record: StageRecord, relative: Result, until: datetime) -> Near | None:
        """Compare a stage of a run, as far as its record goes, with the family of `relative` as known at `until`.

        The command, the environment and the network are in no record, so they are not compared.
        """
        if relative.circumstances is None:
            return None
        wdir = relative.circumstances.wdir
        wanted = KeyParts(
            deps={relative_to(dep.path, wdir): dependency_text(dep) for dep in record.deps},
            params=json.loads(record.params_json or "{}"),
            image=record.image,
        )
        return find_nearest(wanted, await self._others(relative, StrictKey(record.key), until), key_parts_of)

    async def _others(self, relative: Result, key: StrictKey | None, until: datetime) -> list[Result]:
        """The rest of a family, without the results of `key`."""
        if relative.family is None:
            return []
        found = await self._cache.list_family(relative.family, limit=_COMPARED_MAX)
        return [result for result in found if result.key != key and result.created_at <= until]


def _parts_with_files(task: StageTask, others: Sequence[Result]) -> KeyParts:
    """A task taken apart, with the files that others read without declaring them."""
    reads = [result.undeclared for result in others if result.undeclared is not None]
    return replace(
        parts_of(task),
        contents={
            file.path: content_text(task.files.get(file.path)) for read in reads for file in read.files
        },
        all_files=all_files(task) if any(read.all_files for read in reads) else "",
    )


def key_parts_of(result: Result) -> KeyParts:
    """Take the key of a known result apart, and what it read beside."""
    entry, read = result.entry, result.undeclared
    return KeyParts(
        deps={dep.path: dependency_text(dep) for dep in entry.deps},
        params=entry.params,
        image=result.image,
        cmd=entry.cmd,
        circumstances=result.circumstances,
        undeclared=result.undeclared,
        contents={} if read is None else {file.path: content_text(file) for file in read.files},
        all_files="" if read is None else read.all_files,
    )
