"""Submissions of runs in SQL, compressed: most of one is paths and hashes of files."""

import zlib
from typing import Any

from sqlalchemy import select

from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import submissions
from wherry.service.domain.task import RunId
from wherry.service.ports.submissions import SubmissionStore

# Hashes do not become shorter, and the rest does at any level.
_LEVEL = 3


def submission_row(number: int, content: bytes) -> dict[str, Any]:
    """What a run was submitted with, for the table."""
    return {"run_id": number, "content": zlib.compress(content, _LEVEL)}


class SqlSubmissionStore(SubmissionStore):
    """Submissions in the table `submissions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, run_id: RunId) -> bytes | None:
        """See the port."""
        query = select(submissions.c.content).where(submissions.c.run_id == int(run_id))
        content: bytes | None = await self._database.run(
            lambda connection: connection.execute(query).scalar_one_or_none()
        )
        return None if content is None else zlib.decompress(content)
