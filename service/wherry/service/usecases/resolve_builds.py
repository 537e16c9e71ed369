"""Find what an image that a Dockerfile of the project describes is made of."""

import posixpath
from collections.abc import Awaitable, Callable

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.images.dockerfile import Dockerfile, ignored_by, matching, parse_dockerfile
from wherry.service.domain.images.image import DockerfileRecipe, Image, built_image
from wherry.service.domain.paths import ROOT, PathSet, ProjectPath, is_private
from wherry.service.domain.settings import BuildSettings
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.resolve_requirements import check_context

ResolveName = Callable[[str], Awaitable[Image]]
"""Says what a name of an image stands for."""


class ResolveBuilds:
    """Turns the setting `build` into a recipe."""

    def __init__(self, *, read: ReadBlobs) -> None:
        """Read files of projects through `read`."""
        self._read = read

    async def __call__(
        self, project: Project, build: BuildSettings, place: Place, resolve: ResolveName
    ) -> Image:
        """The image that the Dockerfile gives; `place` is that of the setting.

        Raises:
            PipelineInvalid: if the Dockerfile is not there, or is wrong.
            ImageNotFound: if an image that it names cannot be had.
        """
        files = project.snapshot.files
        if build.dockerfile not in files:
            raise PipelineInvalid(
                f"{build.dockerfile} is not in the project",
                hint="Paths are from the DVC root. A file that git or .dvcignore ignores is not submitted.",
                place=place,
            )
        content = await self._read.read_project_file(build.dockerfile, files[build.dockerfile])
        dockerfile = parse_dockerfile(content, build.dockerfile, build.args)
        context = await self._context(project, build, dockerfile)
        check_context(context, place)
        bases = {name: await resolve(name) for name in dockerfile.images}
        recipe = DockerfileRecipe(
            dockerfile=dockerfile.with_images({name: image.digest for name, image in bases.items()}),
            bases=tuple(bases.values()),
            platform=next(iter(bases.values())).platform,
            files=context,
            args=build.args,
        )
        return built_image(recipe, build.dockerfile)

    async def _context(
        self, project: Project, build: BuildSettings, dockerfile: Dockerfile
    ) -> dict[ProjectPath, SnapshotFile]:
        """What is copied of the context's folder, without what .dockerignore names, what stages write, and DVC's own.

        A lock that each run writes would else make a new image each time.
        """
        outputs, locks = PathSet(project.pipeline.outputs), {lock.path for lock in project.locks.values()}
        snapshot = project.snapshot
        inside = {
            _relative(path, build.context): path
            for path in PathSet(snapshot.files).below(build.context)
            if not is_private(path) and path not in locks and not outputs.covers(path)
        }
        ignored = ignored_by(await self._ignore_file(project, build))
        copied = None if dockerfile.copied is None else matching(dockerfile.copied)
        return {
            name: snapshot.files[path]
            for name, path in inside.items()
            if not ignored.match_file(name) and (copied is None or copied.match_file(name))
        }

    async def _ignore_file(self, project: Project, build: BuildSettings) -> bytes:
        """The one beside the Dockerfile that is named after it, else that of the context."""
        own = ProjectPath(f"{build.dockerfile}.dockerignore")
        usual = ProjectPath(posixpath.normpath(posixpath.join(build.context, ".dockerignore")))
        for path in (own, usual):
            if path in project.snapshot.files:
                return await self._read.read_project_file(path, project.snapshot.files[path])
        return b""


def _relative(path: ProjectPath, folder: ProjectPath) -> ProjectPath:
    return path if folder == ROOT else ProjectPath(path[len(folder) + 1 :])
