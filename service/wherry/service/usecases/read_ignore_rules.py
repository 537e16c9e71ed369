"""Read a project's .dvcignore files, and see that nothing is written or tracked that they hide."""

import asyncio
import posixpath

from wherry.service.domain.dvc.ignore import IGNORE_FILE, IgnoreRules, refuse_ignored_outputs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project


class ReadIgnoreRules:
    """Turns .dvcignore files into rules."""

    def __init__(self, read: ReadBlobs) -> None:
        """Read blobs through `read`."""
        self._read = read

    async def __call__(self, project: Project) -> IgnoreRules:
        """The rules of the project.

        Raises:
            PipelineInvalid: if an output or tracked data is ignored: DVC would never see it.
        """
        files = project.snapshot.files
        paths = [path for path in files if posixpath.basename(path) == IGNORE_FILE]
        contents = await asyncio.gather(*(self._read.read_dvc_file(files[path].hash) for path in paths))
        rules = IgnoreRules(dict(zip(paths, contents, strict=True)))
        refuse_ignored_outputs(project.pipeline, rules)
        return rules
