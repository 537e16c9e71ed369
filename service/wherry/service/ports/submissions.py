"""What runs were submitted with."""

from typing import Protocol

from wherry.service.domain.task import RunId


class SubmissionStore(Protocol):
    """Submissions of runs, as they came: whoever took them in knows how to read them."""

    async def keep(self, run_id: RunId, content: bytes) -> None:
        """Keep what a run was submitted with. What is kept already stays."""
        ...

    async def find(self, run_id: RunId) -> bytes | None:
        """What was kept; None: nothing."""
        ...
