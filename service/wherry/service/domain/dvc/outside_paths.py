"""What keeps a stage from being run here: paths that nobody but the submitter's machine reaches, or that DVC refuses.

Such a stage is read like any other, for its place in the graph. It is refused only when it is to be run.
"""

from wherry.service.domain.dvc.context import folder_of
from wherry.service.domain.dvc.run_cache import is_eligible
from wherry.service.domain.dvc.stage import Dependency, Output, ParamsDependency, Stage
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import Surroundings, is_around_root, is_elsewhere, is_inside_root, is_private


def find_obstacle(stage: Stage, around: Surroundings) -> PipelineInvalid | None:
    """Say why a stage of a project that lies so cannot be run; None: nothing speaks against it."""
    problems = (
        _folder_problem(stage, around),
        *(_input_problem(stage, item, around) for item in stage.inputs),
        *(_output_problem(stage, out, around) for out in stage.outs),
    )
    return next((problem for problem in problems if problem is not None), None)


def _folder_problem(stage: Stage, around: Surroundings) -> PipelineInvalid | None:
    if is_inside_root(stage.wdir):
        return None
    said, hint = (
        f"stage {stage.name!r}: its wdir {around.shown(stage.wdir, folder_of(stage.file))!r} lies outside",
        "Leave wdir out and write `cd` in the command.",
    )
    place = stage.wdir_place or stage.place
    if not around.reach_folder(stage.wdir):
        return PipelineInvalid(f"{said} the repository", hint=hint, place=place)
    if is_eligible(stage):
        # DVC finds out when it has run the command.
        message = f"{said} the DVC root, and DVC takes no stage from there into its run cache: it fails"
        return PipelineInvalid(message, hint=hint, place=place)
    return None


def _input_problem(
    stage: Stage, item: Dependency | ParamsDependency, around: Surroundings
) -> PipelineInvalid | None:
    path = item.project_path
    # Of a params file only the path relative to wdir is kept, which says little of one that is far away.
    is_far = isinstance(item, ParamsDependency) and not around.reach(path)
    written = around.shown(path, stage.wdir) if is_far else item.path
    kind = "params file" if isinstance(item, ParamsDependency) else "dependency"
    said = f"stage {stage.name!r}: the {kind} {written!r}"
    if is_inside_root(path):
        return None
    if is_around_root(path):
        message, hint = f"{said} holds the whole project", "Name the files and folders that the stage reads."
    elif around.reach_folder(path) and is_private(path):
        message, hint = f"{said} is git's or DVC's own, which stays on your machine", "Leave it out."
    elif around.reach(path):
        if not item.path.startswith("/"):
            return None
        message = f"{said} is an absolute path, and the stage's container has it elsewhere"
        hint = f"Write it relative to wdir: {around.relative(path, stage.wdir)}"
    elif is_elsewhere(path) and "://" in path:
        message = f"{said} lies outside the repository, where the service reads nothing"
        hint = f"Bring it in with `dvc import-url {written}` and depend on the copy."
    else:
        message = f"{said} lies outside the repository, where the service reads nothing"
        hint = f"Put it into the repository, or bring it in with `dvc import-url {written}`."
    return PipelineInvalid(message, hint=hint, place=item.place or stage.place)


def _output_problem(stage: Stage, out: Output, around: Surroundings) -> PipelineInvalid | None:
    path = out.project_path
    said = f"stage {stage.name!r}: the output {out.path!r}"
    if is_inside_root(path):
        return None
    if around.reach_folder(path) and is_private(path):
        message, hint = f"{said} is git's or DVC's own", "Write it elsewhere."
    elif not around.reach(path) or out.path.startswith("/"):
        message = f"{said} lies outside the repository, where the service writes nothing"
        if around.reach(path):
            message = f"{said} is an absolute path, and the stage's container has it elsewhere"
        hint = "Write it to a relative path inside the project, and copy it from there."
    elif out.cache:
        message = f"{said} lies outside the DVC root, and DVC keeps nothing in its cache from there"
        hint = "Write it below the DVC root, or declare it with `cache: false`."
    else:
        return None
    return PipelineInvalid(message, hint=hint, place=out.place or stage.place)
