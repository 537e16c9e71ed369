"""What a run leaves in the project: dvc.lock, changed params, and outputs that are not cached or persistent."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.legacy_hash import LegacyHashes, as_recorded, outputs_as_recorded, undecided
from wherry.service.domain.dvc.lockfile import is_unchanged, update_lock
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.dvc.view import PlacedData
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import StageEntry
from wherry.service.domain.run import WriteBack, WriteBackKind
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_result import whole_files
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_project import Lock, Project


class WriteBacks:
    """Computes what a run changes in the project, and puts the new content into the store."""

    def __init__(
        self, *, put: PutBlobs, index: BlobIndex, legacy: FindLegacyHashes, publish: PublishLegacy
    ) -> None:
        """Store through `put`; `index` knows the sizes of outputs; `publish` what stays named as by DVC 2."""
        self._put = put
        self._index = index
        self._legacy = legacy
        self._publish = publish

    async def __call__(
        self,
        project: Project,
        entries: Mapping[StageName, StageEntry],
        legacy: LegacyHashes,
        placed: Mapping[ProjectPath, PlacedData],
    ) -> tuple[WriteBack, ...]:
        """For the stages that succeeded, whether they ran or were known; `legacy` knows their dependencies.

        What they name as DVC 2 did is published under that name first, and so is `placed` tracked data.
        """
        published = _tracked(project, placed)
        locks = [
            await self._lock(project, lock, entries, legacy, published=published)
            for lock in project.locks.values()
        ]
        params = [self._params(project, path, before) for path, before in project.changed_params.items()]
        outputs = await self._outputs(project, entries)
        await self._publish(published)
        return (*(lock for lock in locks if lock is not None), *params, *outputs)

    async def _lock(
        self,
        project: Project,
        lock: Lock,
        entries: Mapping[StageName, StageEntry],
        legacy: LegacyHashes,
        *,
        published: dict[BlobHash, BlobHash],
    ) -> WriteBack | None:
        """DVC leaves the entry of a stage that did not change as it is; the others are replaced.

        In those, what DVC 2 recorded and did not change keeps the hash of DVC 2. Such outputs are added to
        `published`, of entries that stay as they are too.
        """
        changed = {}
        for stage in project.stages:
            if stage.name not in entries or project.locks[stage.file] is not lock:
                continue
            recorded = lock.entries.get(stage.key)
            entry = await self._as_recorded(entries[stage.name], recorded, legacy)
            published |= _legacy_outputs(stage, entries[stage.name], entry)
            if recorded is None or not is_unchanged(recorded, entry, whole_files=whole_files(stage)):
                changed[stage.key] = entry
        if not changed:
            return None
        # A lock of many stages that has to be written by ruamel.yaml takes seconds, in which others go on.
        written = await asyncio.to_thread(update_lock, lock.content, changed, lock.path)
        digest = await self._put.put_content(written)
        before = project.snapshot.files.get(lock.path)
        return WriteBack(
            path=lock.path,
            digest=digest,
            executable=False,
            submitted_hash=before.hash if before else "",
            kind=WriteBackKind.LOCK,
        )

    async def _as_recorded(
        self, entry: StageEntry, recorded: StageEntry | None, legacy: LegacyHashes
    ) -> StageEntry:
        if recorded is None:
            return entry
        outs = await self._legacy({out.hash for out in undecided(recorded.outs, entry.outs)}, {})
        return replace(
            entry,
            deps=as_recorded(entry.deps, recorded.deps, legacy),
            outs=outputs_as_recorded(entry.outs, recorded.outs, outs),
        )

    def _params(self, project: Project, path: ProjectPath, before: str) -> WriteBack:
        file = project.snapshot.files[path]
        return WriteBack(
            path=path,
            digest=Digest(file.hash, file.size_bytes),
            executable=file.executable,
            submitted_hash=before,
            kind=WriteBackKind.PARAMS,
        )

    async def _outputs(self, project: Project, entries: Mapping[StageName, StageEntry]) -> list[WriteBack]:
        wanted = [
            (out, made)
            for stage in project.stages
            if stage.name in entries
            for out in stage.outs
            for made in entries[stage.name].outs
            # The next run starts from what stands in the workspace: it must be what this one left.
            if (out.persist or not out.cache) and made.path == out.path
        ]
        records = await self._index.find({made.hash for _, made in wanted})
        return [
            WriteBack(
                path=out.project_path,
                digest=Digest(BlobHash(made.hash), records[made.hash].size_bytes),
                executable=made.executable,
                submitted_hash=before.hash
                if (before := project.snapshot.files.get(out.project_path))
                else "",
                kind=WriteBackKind.OUTPUT,
            )
            for out, made in wanted
        ]


def _tracked(project: Project, placed: Mapping[ProjectPath, PlacedData]) -> dict[BlobHash, BlobHash]:
    """Data of .dvc files with hashes of DVC 2: these, with the content's own."""
    return {
        out.hash: placed[out.project_path].hash
        for source in project.sources
        for out in source.outs
        if out.is_legacy and out.hash is not None and out.project_path in placed
    }


def _legacy_outputs(stage: Stage, made: StageEntry, recorded: StageEntry) -> dict[BlobHash, BlobHash]:
    """Outputs that the lock names as DVC 2 did and that DVC keeps in its cache: these hashes, with the content's own."""
    own = {out.path: out.hash for out in made.outs}
    cached = {out.path for out in stage.outs if out.cache}
    return {out.hash: own[out.path] for out in recorded.outs if out.is_legacy and out.path in cached}
