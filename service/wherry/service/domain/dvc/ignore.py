"""`.dvcignore`: which files of folders DVC does not see (research: .dvcignore).

gitignore's grammar by DVC's own library; one file for each folder, the deeper one decides, the last match wins, and
nothing is brought back below an ignored folder. DVC's built-in patterns (.git, .hg, .dvc) are not here: whoever reads
folders leaves those out in any case.
"""

import hashlib
from collections.abc import Mapping

from pathspec import GitIgnoreSpec

from wherry.service.domain.blob import TREE_SUFFIX
from wherry.service.domain.dvc.stage import Pipeline
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath, is_inside_root
from wherry.service.domain.snapshot import Snapshot

IGNORE_FILE = ".dvcignore"
GIT_IGNORE_FILE = ".gitignore"


class IgnoreRules:
    """The patterns of a project. Two projects with the same patterns have the same fingerprint."""

    def __init__(self, files: Mapping[ProjectPath, bytes]) -> None:
        """Take the project's .dvcignore files by their paths; bytes that are no text are replaced."""
        self._files = files
        patterns = {_folder_of(path): _patterns(data) for path, data in sorted(files.items())}
        used = {folder: lines for folder, lines in patterns.items() if lines}
        self._specs = {folder: GitIgnoreSpec.from_lines(lines) for folder, lines in used.items()}
        self._folders: dict[ProjectPath, bool] = {ROOT: False}
        self.fingerprint = hashlib.sha256(repr(used).encode()).hexdigest() if used else ""
        """Names the patterns; empty when there is none."""

    def ignores(self, path: ProjectPath, *, is_folder: bool) -> bool:
        """Whether a file or folder is ignored, by itself or with a folder above it."""
        if not self._specs or not is_inside_root(path):
            return False
        return self._ignores_folder(path) if is_folder else self._ignores_file(path)

    def moved_to(self, folder: ProjectPath) -> "IgnoreRules":
        """The same patterns for paths that begin above the DVC root, which is `folder` as seen from there."""
        if folder == ROOT:
            return self
        return IgnoreRules({ProjectPath(f"{folder}/{path}"): data for path, data in self._files.items()})

    def _ignores_file(self, path: ProjectPath) -> bool:
        folder = _folder_of(path)
        return self._ignores_folder(folder) or self._matches(folder, path)

    def _ignores_folder(self, path: ProjectPath) -> bool:
        known = self._folders.get(path)
        if known is None:
            parent = _folder_of(path)
            known = self._ignores_folder(parent) or self._matches(parent, f"{path}/")
            self._folders[path] = known
        return known

    def _matches(self, folder: ProjectPath, path: str) -> bool:
        """What the nearest patterns say that say anything; a folder's path ends in "/"."""
        while True:
            spec = self._specs.get(folder)
            if spec is not None:
                below = path if folder == ROOT else path[len(folder) + 1 :]
                decided = spec.check_file(below).include
                if decided is not None:
                    return decided
            if folder == ROOT:
                return False
            folder = _folder_of(folder)


def refuse_ignored_outputs(pipeline: Pipeline, rules: IgnoreRules) -> None:
    """See that no stage writes, and no .dvc file tracks, what is ignored.

    Raises:
        PipelineInvalid: if one does: DVC would never see it.
    """
    for stage in pipeline.stages.values():
        for out in stage.outs:
            # Whether it is a folder is known once the stage has run; DVC asks no earlier either.
            if rules.ignores(out.project_path, is_folder=False):
                raise _ignored(f"stage {stage.name!r}: the output {out.path!r}", stage.place)
    for source in pipeline.sources.values():
        for data in source.outs:
            if rules.ignores(data.project_path, is_folder=(data.hash or "").endswith(TREE_SUFFIX)):
                raise _ignored(f"{source.name}: the data {data.path!r}", source.place)


def _ignored(what: str, place: Place) -> PipelineInvalid:
    return PipelineInvalid(
        f"{what} is ignored by .dvcignore",
        hint="Take the pattern out of .dvcignore, or keep the file elsewhere.",
        place=place,
    )


def _folder_of(path: ProjectPath) -> ProjectPath:
    return ProjectPath(path.rpartition("/")[0]) if "/" in path else ROOT


def _patterns(data: bytes) -> list[str]:
    lines = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class Hidden:
    """What the .dvcignore and .gitignore files of a project keep from being submitted with it."""

    def __init__(self, files: Mapping[ProjectPath, bytes]) -> None:
        """Take both kinds of files by their paths."""
        self._rules = [
            IgnoreRules({path: data for path, data in files.items() if path.rpartition("/")[2] == name})
            for name in (IGNORE_FILE, GIT_IGNORE_FILE)
        ]

    def must_be_seen(self, path: ProjectPath, snapshot: Snapshot) -> bool:
        """Whether the client has to look for a file of values: one outside the DVC root, or one that is hidden.

        DVC reads parameters wherever they are; what hides them keeps them out of folders, and out of git, only.
        """
        if path in snapshot.files or path in snapshot.data:
            return False
        if snapshot.ignored_elsewhere or snapshot.is_unseen(path):
            return True
        return any(rules.ignores(path, is_folder=False) for rules in self._rules)
