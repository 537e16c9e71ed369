"""What runs were submitted with."""

from typing import Protocol

from wherry.service.domain.images.image import NamedImage
from wherry.service.domain.task import RunId


class SubmissionStore(Protocol):
    """Submissions of runs, as they came: whoever took them in knows how to read them. RunStore keeps them."""

    async def find(self, run_id: RunId) -> bytes | None:
        """What was kept; None: nothing."""
        ...

    async def find_images(self, run_id: RunId) -> tuple[NamedImage, ...]:
        """What names of images stood for when the run was submitted; empty too where that was not kept yet."""
        ...
