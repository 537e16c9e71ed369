"""Read again what DVC 2 left at the root of the remote.

Nothing is taken out: the index does not say that these are held, they are compared with their names whenever they are
taken over, and somebody's old commits may have nothing else.
"""

import asyncio
import re
from collections.abc import Collection
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, legacy_object_key
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.findings import BlobFault, FaultKind
from wherry.service.domain.tree import parse_tree
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.adopt_legacy import LegacyContent, read_legacy

_KEY = re.compile(r"([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")

# Every such key comes before this one, and `files/`, `runs/` and `wherry/` after it.
_END = "fg"
_PAGE = 1_000


class CheckLegacy:
    """Checks objects whose names are hashes of DVC 2."""

    def __init__(self, *, objects: ObjectStore, index: BlobIndex) -> None:
        """Read from `objects`; `index` knows the second name of what is held under the hash of its content."""
        self._objects = objects
        self._index = index

    async def names(self) -> list[BlobHash]:
        """All there are, by listing: nobody keeps an index of them."""
        found: list[BlobHash] = []
        after, is_last = "", False
        while not is_last and after < _END:
            page = await self._objects.list_page("", after=after, limit=_PAGE)
            matches = [_KEY.fullmatch(listed.key) for listed in page.objects]
            found += [BlobHash(match[1] + match[2]) for match in matches if match]
            after, is_last = page.objects[-1].key if page.objects else _END, page.is_last
        return found

    async def look(
        self, name: BlobHash, copy: Path, names: Collection[BlobHash]
    ) -> tuple[int, BlobFault | None]:
        """Read one into `copy`, which is gone afterwards; returns its size and what is wrong. `names`: all there are."""
        if not await self._objects.get_file(legacy_object_key(name), copy):
            return 0, None  # it has gone since it was listed
        content, tree = await asyncio.to_thread(_read, name, copy)
        if name.removesuffix(TREE_SUFFIX) not in {content.legacy, content.digest.hash}:
            said = f"at the root of the remote, where DVC 2 put it, has the content of {content.digest.hash}"
            said += "; it is left there: remove it, then `dvc push` where it is whole"
            return content.digest.size_bytes, BlobFault(name, FaultKind.DAMAGED, said)
        fault = (
            await self._fault_of_file(name, content) if tree is None else _fault_of_tree(name, tree, names)
        )
        return content.digest.size_bytes, fault

    async def _fault_of_file(self, name: BlobHash, content: LegacyContent) -> BlobFault | None:
        held = (await self._index.find([content.digest.hash])).get(content.digest.hash)
        if held is None or held.sha256 in {None, content.sha256}:
            return None
        said = f"at the root of the remote is another content of one MD5: SHA-256 {content.sha256}"
        return BlobFault(name, FaultKind.EXCHANGED, said)


def _read(name: BlobHash, copy: Path) -> tuple[LegacyContent, bytes | None]:
    """What a file is called, and of a tree the content. The copy is gone then."""
    try:
        content = read_legacy(copy)
        return content, copy.read_bytes() if name.endswith(TREE_SUFFIX) else None
    finally:
        copy.unlink()


def _fault_of_tree(name: BlobHash, tree: bytes, names: Collection[BlobHash]) -> BlobFault | None:
    try:
        missing = parse_tree(tree).hashes().difference(names)
    except InvalidInput as exc:
        return BlobFault(name, FaultKind.DAMAGED, f"at the root of the remote: {exc.message}")
    if not missing:
        return None
    said = (
        f"at the root of the remote lists {len(missing)} files that are not there, {min(missing)} among them"
    )
    return BlobFault(name, FaultKind.INCOMPLETE, f"{said}; it is left there, see `dvc push`")
