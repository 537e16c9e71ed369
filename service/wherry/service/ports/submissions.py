"""What runs were submitted with."""

from typing import Protocol

from wherry.service.domain.task import RunId


class SubmissionStore(Protocol):
    """Submissions of runs, as they came: whoever took them in knows how to read them. RunStore keeps them."""

    async def find(self, run_id: RunId) -> bytes | None:
        """What was kept; None: nothing."""
        ...
