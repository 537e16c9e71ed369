"""Uses are noted behind the back of those who report them."""

import asyncio
from collections.abc import Collection

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.event_log import FakeEventLog
from tests.fakes.pack_index import FakePackIndex
from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.errors import Unavailable
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.usecases.note_use import NoteUse


class Index(FakeBlobIndex):
    """Counts the calls; does not answer while it is down."""

    def __init__(self, records: list[BlobRecord]) -> None:
        super().__init__(records)
        self.calls, self.is_down = 0, False

    async def note_use(self, hashes: Collection[BlobHash]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise Unavailable("the database does not answer")
        await super().note_use(hashes)


HASHES = [hash_content(str(number).encode()) for number in range(100)]


def test_many_uses_are_kept_in_few_statements_and_all_of_them_at_the_end() -> None:
    index = Index([BlobRecord(hash=one, size_bytes=1, sha256=None) for one in HASHES])

    async def use() -> None:
        note_use = NoteUse(index=index, packs=FakePackIndex(), log=FakeEventLog())
        note_use([])
        for one in HASHES:
            note_use([one])
        await note_use.close()

    asyncio.run(use())
    assert index.used == set(HASHES)
    assert index.calls <= 2


def test_a_database_that_does_not_answer_is_told_and_the_next_use_is_kept() -> None:
    index, log = Index([BlobRecord(hash=one, size_bytes=1, sha256=None) for one in HASHES]), FakeEventLog()

    async def use() -> None:
        note_use = NoteUse(index=index, packs=FakePackIndex(), log=log)
        index.is_down = True
        note_use(HASHES[:1])
        await note_use.close()
        index.is_down = False
        note_use(HASHES[1:2])
        await note_use.close()

    asyncio.run(use())
    assert index.used == {HASHES[1]}
    assert len(log.warnings) == 1
