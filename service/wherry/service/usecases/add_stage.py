"""Put a stage into the dvc.yaml of the working folder. The client writes the file."""

import posixpath
from dataclasses import dataclass

from wherry.service.domain.dvc.context import Load
from wherry.service.domain.dvc.lint import read_files
from wherry.service.domain.dvc.pipeline_file import PIPELINE_FILE_NAME
from wherry.service.domain.dvc.project_files import DvcFiles
from wherry.service.domain.dvc.shape import NotReadYet
from wherry.service.domain.dvc.stage_add import NewStage, check_in_graph, resolve_new_stage, write_stage
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.submission import Needs, Submission
from wherry.service.usecases.read_dvc_files import ReadDvcFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedStage:
    """A dvc.yaml with a stage added."""

    path: ProjectPath
    previous_hash: str
    """Of the file that was changed; empty: there was none."""
    content: bytes
    git_ignored: tuple[ProjectPath, ...]
    """Outputs that DVC would keep out of git, in its order."""


class AddStage:
    """Makes the change that `dvc stage add` would make, with its checks of the whole project."""

    def __init__(self, read: ReadDvcFiles) -> None:
        """Read files through `read`."""
        self._read = read

    async def __call__(self, submission: Submission, new: NewStage, *, force: bool) -> AddedStage | Needs:
        """Return the changed file; Needs when files of the project are not held yet.

        Raises:
            InvalidInput: if DVC would refuse the stage.
            PipelineInvalid: if a pipeline file or .dvc file is wrong, or the graph would not hold.
        """
        file = ProjectPath(posixpath.normpath(posixpath.join(submission.working_folder, PIPELINE_FILE_NAME)))
        stage = resolve_new_stage(new, file, submission.snapshot.around)
        known = submission.snapshot.files.get(file)

        def ask(files: DvcFiles, load: Load) -> bytes:
            readable = read_files(files, load)
            for mistake in readable.mistakes:
                # What Wherry cannot run yet may still stand in the project, and DVC takes it.
                if not isinstance(mistake, NotReadYet):
                    raise mistake
            written = write_stage(load(file), stage, desc=new.desc, force=force)
            check_in_graph(stage, readable.stages, readable.sources)
            return written

        content = await self._read(submission.snapshot, ask)
        if isinstance(content, Needs):
            return content
        return AddedStage(
            path=file,
            previous_hash=known.hash if known is not None else "",
            content=content,
            git_ignored=tuple(out.project_path for out in stage.outs if out.cache),
        )
