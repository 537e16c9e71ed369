"""Read a project's .dvcignore files, and see that no stage writes what they hide."""

import asyncio
import posixpath

from wherry.service.domain.dvc.ignore import IGNORE_FILE, IgnoreRules
from wherry.service.domain.errors import PipelineInvalid
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
            PipelineInvalid: if an output is ignored: DVC would never see it.
        """
        files = project.snapshot.files
        paths = [path for path in files if posixpath.basename(path) == IGNORE_FILE]
        contents = await asyncio.gather(*(self._read.read_dvc_file(files[path].hash) for path in paths))
        rules = IgnoreRules(dict(zip(paths, contents, strict=True)))
        for stage in project.stages:
            for out in stage.outs:
                # Whether it is a folder is known once the stage has run; DVC asks no earlier either.
                if rules.ignores(out.project_path, is_folder=False):
                    raise PipelineInvalid(
                        f"stage {stage.name!r}: the output {out.path!r} is ignored by .dvcignore",
                        hint="Take the pattern out of .dvcignore, or write the output elsewhere.",
                        place=stage.place,
                    )
        return rules
