"""Make a run ready to go on from what was kept of it."""

from collections.abc import Callable

from wherry.service.domain.errors import SubmissionGone
from wherry.service.domain.run import Run
from wherry.service.domain.submission import Needs, RunOptions, Submission
from wherry.service.ports.submissions import SubmissionStore
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.resolve_stage import ProjectState
from wherry.service.usecases.submit_run import with_forced


class ReopenRun:
    """Opens the project of a run as it was opened when the run was submitted."""

    def __init__(
        self,
        *,
        submissions: SubmissionStore,
        read_submission: Callable[[bytes, str], tuple[Submission, RunOptions]],
        open_project: OpenProject,
    ) -> None:
        """Read what `submissions` kept with `read_submission`: its form is that of whoever took it in."""
        self._submissions = submissions
        self._read_submission = read_submission
        self._open_project = open_project

    async def __call__(self, run: Run) -> tuple[ProjectState, RunOptions]:
        """Return the project and how it is to be run.

        Raises:
            SubmissionGone: if it was not kept, or the store no longer holds all of it.
            Unavailable: if a part of the service does not answer.
        """
        content = await self._submissions.find(run.id)
        if content is None:
            raise SubmissionGone(
                "it was not kept what the run was submitted with", hint="Submit the project again."
            )
        submission, options = self._read_submission(content, run.user)
        known = await self._submissions.find_images(run.id)
        state = await self._open_project(submission, upload=True, known=known)
        if isinstance(state, Needs):
            raise SubmissionGone(
                "the store no longer holds all that the run was submitted with",
                hint="Submit the project again: what is missing is uploaded then.",
            )
        return state, with_forced(state.project, options)
