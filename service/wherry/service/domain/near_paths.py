"""Which path somebody may have meant who wrote one that is not there."""

import posixpath
from collections.abc import Collection
from difflib import get_close_matches

from wherry.service.domain.paths import ProjectPath

# Comparing texts takes a hundredth of a millisecond each; whoever has more files finds the mistake in the folder.
_COMPARED_MAX = 5000
_CUTOFF = 0.75


def find_near_path(path: ProjectPath, there: Collection[ProjectPath]) -> ProjectPath | None:
    """Look for it in the same folder, under the same name elsewhere, in a folder of a similar name; None: nowhere."""
    folder, name = posixpath.split(path)
    beside = [one for one in there if posixpath.dirname(one) == folder]
    named = [one for one in there if posixpath.basename(one) == name]
    for candidates, cutoff in ((beside, _CUTOFF), (named, 0.0)):
        near = get_close_matches(path, candidates[:_COMPARED_MAX], n=1, cutoff=cutoff)
        if near:
            return ProjectPath(near[0])
    if not folder:
        return None
    # What a stage writes may be a folder: of its files nobody knows.
    above = find_near_path(ProjectPath(folder), {*there, *_folders_of(there)})
    return ProjectPath(f"{above}/{name}") if above else None


def _folders_of(paths: Collection[ProjectPath]) -> set[ProjectPath]:
    return {ProjectPath(folder) for path in paths if (folder := posixpath.dirname(path))}
