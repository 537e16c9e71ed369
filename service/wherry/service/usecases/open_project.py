"""All that planning and submitting have in common: from a submission to a project ready to be gone through."""

from wherry.service.domain.submission import Needs, Submission
from wherry.service.usecases.check_data import CheckData
from wherry.service.usecases.read_ignore_rules import ReadIgnoreRules
from wherry.service.usecases.read_project import ReadProject, require_stages
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_stage import ProjectState, open_state


class OpenProject:
    """Reads a project, checks its inputs, and finds its images."""

    def __init__(
        self, *, read: ReadProject, check: CheckData, rules: ReadIgnoreRules, images: ResolveImages
    ) -> None:
        """Go through these, in this order."""
        self._read = read
        self._check = check
        self._rules = rules
        self._images = images

    async def __call__(self, submission: Submission, *, upload: bool) -> ProjectState | Needs:
        """Return the project, or what is needed first. With `upload`, data must be in the store."""
        project = await self._read(submission)
        if isinstance(project, Needs):
            return project
        require_stages(project)
        placed = await self._check(project, upload=upload)
        if isinstance(placed, Needs):
            return placed
        ignore = await self._rules(project)
        return open_state(project, placed, await self._images(project), ignore)
