"""What dvc.lock records of a stage, with the outputs that DVC 2 named under the hashes of their content."""

from collections.abc import Mapping
from dataclasses import replace

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.legacy_hash import undecided
from wherry.service.domain.dvc.reuse import may_stand_recorded
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.read_project import Project

_NOTHING: Mapping[str, FileEntry | None] = {}


class FindRecorded:
    """Looks an entry up, and its outputs where they are: in the project, in the store, at the root of the remote."""

    def __init__(self, *, index: BlobIndex, legacy: FindLegacyHashes, adopt: AdoptLegacy) -> None:
        """Ask `index` what is held, `legacy` about content at hand, and `adopt` about what DVC 2 pushed."""
        self._index = index
        self._legacy = legacy
        self._adopt = adopt

    async def __call__(
        self, project: Project, stage: Stage, previous: Mapping[str, FileEntry | None] = _NOTHING
    ) -> StageEntry | None:
        """The entry, or None; `previous` is what its persistent outputs are now.

        An output of which nobody knows the content keeps its hash of DVC 2.
        """
        entry = project.recorded(stage)
        if entry is None or not any(out.is_legacy for out in entry.outs):
            return entry
        own = await self._standing(entry, previous)
        if may_stand_recorded(stage, trusts_dvc=project.trusts_dvc):
            names = {out.hash for out in entry.outs if out.is_legacy and out.path not in own}
            adopted = await self._adopt(await self._index.find_missing(names))
            own |= {out.path: adopted[out.hash] for out in entry.outs if out.hash in adopted}
        outs = (
            replace(out, hash=own[out.path], is_legacy=False) if out.path in own else out
            for out in entry.outs
        )
        return replace(entry, outs=tuple(outs))

    async def _standing(
        self, entry: StageEntry, previous: Mapping[str, FileEntry | None]
    ) -> dict[str, BlobHash]:
        """The content of what stands as it is recorded, by path."""
        recorded = {out.path: out.hash for out in entry.outs}
        open_questions = list(undecided(entry.outs, filter(None, previous.values())))
        legacy = await self._legacy({file.hash for file in open_questions}, {})
        return {
            file.path: file.hash for file in open_questions if legacy.get(file.hash) == recorded[file.path]
        }
