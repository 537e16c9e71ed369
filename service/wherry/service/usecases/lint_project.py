"""Find all mistakes in the files of a submitted project."""

from wherry.service.domain.dvc.lint import find_mistakes
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.submission import Needs, Submission
from wherry.service.usecases.read_dvc_files import ReadDvcFiles


class LintProject:
    """Looks at files only: whether data and images are there is found when a run is submitted."""

    def __init__(self, read: ReadDvcFiles) -> None:
        """Read files through `read`."""
        self._read = read

    async def __call__(self, submission: Submission) -> list[PipelineInvalid] | Needs:
        """Return the mistakes, sorted by place; Needs when files are not held yet."""
        return await self._read(submission.snapshot, find_mistakes)
