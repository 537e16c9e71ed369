"""All that planning and submitting have in common: from a submission to a project ready to be gone through."""

from collections.abc import Iterable

from wherry.service.domain.errors import BlobMissing
from wherry.service.domain.images.image import NamedImage
from wherry.service.domain.resources import Machine
from wherry.service.domain.submission import Needs, Submission
from wherry.service.usecases.check_data import CheckData
from wherry.service.usecases.check_folders import require_folders
from wherry.service.usecases.check_resources import require_resources
from wherry.service.usecases.find_vanished import FindVanished
from wherry.service.usecases.read_ignore_rules import ReadIgnoreRules
from wherry.service.usecases.read_project import ReadProject, require_stages
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_stage import ProjectState, open_state


class OpenProject:
    """Reads a project, checks its inputs, and finds its images."""

    def __init__(
        self,
        *,
        read: ReadProject,
        check: CheckData,
        rules: ReadIgnoreRules,
        images: ResolveImages,
        find_vanished: FindVanished,
        machine: Machine,
    ) -> None:
        """Go through these, in this order; `find_vanished` when content is gone that seemed to be held.

        What stages ask for is compared with `machine`.
        """
        self._machine = machine
        self._read = read
        self._check = check
        self._rules = rules
        self._images = images
        self._find_vanished = find_vanished

    async def __call__(
        self, submission: Submission, *, upload: bool, known: Iterable[NamedImage] = ()
    ) -> ProjectState | Needs:
        """Return the project, or what is needed first. With `upload`, data must be in the store.

        Names of images that are `known` keep what they stood for.
        """
        known = tuple(known)
        try:
            return await self._open(submission, known, upload=upload)
        except BlobMissing:
            # The client has the project's files at hand: it is asked for what has gone.
            if not await self._find_vanished({file.hash for file in submission.snapshot.files.values()}):
                raise
            return await self._open(submission, known, upload=upload)

    async def _open(
        self, submission: Submission, known: tuple[NamedImage, ...], *, upload: bool
    ) -> ProjectState | Needs:
        project = await self._read(submission)
        if isinstance(project, Needs):
            return project
        require_stages(project)
        require_resources(project, self._machine)
        require_folders(project)
        placed = await self._check(project, upload=upload)
        if isinstance(placed, Needs):
            return placed
        ignore = await self._rules(project)
        images = await self._images(project, known)
        return open_state(project, placed, images.stages, ignore, named=images.named)
