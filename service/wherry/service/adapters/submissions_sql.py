"""Submissions of runs in SQL, compressed: most of one is paths and hashes of files."""

import json
import zlib
from typing import Any

from sqlalchemy import select

from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import submissions
from wherry.service.domain.images.image import Image, NamedImage, PullPolicy
from wherry.service.domain.run import NewRun
from wherry.service.domain.task import RunId
from wherry.service.ports.submissions import SubmissionStore

# Hashes do not become shorter, and the rest does at any level.
_LEVEL = 3


def submission_row(number: int, new: NewRun) -> dict[str, Any]:
    """What a run was submitted with, for the table."""
    images = [
        {
            "name": named.image.name,
            "policy": named.policy,
            "digest": named.image.digest,
            "platform": named.image.platform,
        }
        for named in new.images
    ]
    content = zlib.compress(new.content, _LEVEL)
    return {"run_id": number, "content": content, "images": json.dumps(images)}


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

    async def find_images(self, run_id: RunId) -> tuple[NamedImage, ...]:
        """See the port."""
        query = select(submissions.c.images).where(submissions.c.run_id == int(run_id))
        text: str | None = await self._database.run(
            lambda connection: connection.execute(query).scalar_one_or_none()
        )
        return tuple(_load_image(kept) for kept in json.loads(text or "[]"))


def _load_image(kept: dict[str, str]) -> NamedImage:
    image = Image(name=kept["name"], digest=kept["digest"], platform=kept["platform"])
    return NamedImage(policy=PullPolicy(kept["policy"]), image=image)
