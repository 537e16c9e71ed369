"""Find out which image each stage runs in, once for a submission."""

from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.errors import ImageNotFound, PipelineInvalid, Place
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.settings import BuildSettings, StageSettings
from wherry.service.ports.containers import ContainerEngine
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.resolve_builds import ResolveBuilds
from wherry.service.usecases.resolve_requirements import ResolveRequirements


class ResolveImages:
    """Turns what the settings say of images into content: digests, and recipes of images that are made."""

    def __init__(
        self,
        *,
        engine: ContainerEngine,
        builds: ResolveBuilds,
        requirements: ResolveRequirements,
        default_image: str,
    ) -> None:
        """With the server's `default_image` for stages that name none; it may be empty."""
        self._engine = engine
        self._builds = builds
        self._requirements = requirements
        self._default_image = default_image

    async def __call__(self, project: Project) -> dict[StageName, Image]:
        """The image of each selected stage.

        Raises:
            PipelineInvalid: if a stage has none, or a file that it is made of is wrong.
            ImageNotFound: if one cannot be had.
        """
        once = _Once(self._engine, self._builds, self._requirements, project)
        found = {}
        # One after the other: the engine fetches layers in parallel by itself.
        for stage in project.stages:
            settings = project.settings[stage.name]
            place = stage.settings_place or stage.place
            base = await once.base(self._said(stage, settings), place)
            found[stage.name] = await once.installed(base, settings.requirements, place)
        return found

    def _said(self, stage: Stage, settings: StageSettings) -> str | BuildSettings:
        said = settings.build or settings.image or self._default_image
        if not said:
            raise PipelineInvalid(
                f"stage {stage.name!r} has no image to run in",
                hint='Name one in .dvc/wherry.toml ([defaults] image = "…"), under '
                "stages.X.meta.wherry.image, or with --image; or a Dockerfile of the project in 'build'.",
                place=stage.place,
            )
        return said


class _Once:
    """Resolves what several stages of a project share once."""

    def __init__(
        self,
        engine: ContainerEngine,
        builds: ResolveBuilds,
        requirements: ResolveRequirements,
        project: Project,
    ) -> None:
        self._engine = engine
        self._builds = builds
        self._requirements = requirements
        self._project = project
        self._named: dict[str, Image] = {}
        self._built: list[tuple[BuildSettings, Image]] = []
        self._installed: dict[tuple[str, tuple[ProjectPath, ...]], Image] = {}

    async def base(self, said: str | BuildSettings, place: Place) -> Image:
        """The image that is named, or described."""
        if isinstance(said, str):
            try:
                return await self._resolve(said)
            except ImageNotFound as exc:
                raise ImageNotFound(exc.message, hint=exc.hint, place=exc.place or place) from exc
        for known, image in self._built:
            if known == said:
                return image
        image = await self._builds(self._project, said, place, self._resolve)
        self._built.append((said, image))
        return image

    async def installed(self, base: Image, listed_in: tuple[ProjectPath, ...] | None, place: Place) -> Image:
        """The base with what the files list."""
        if not listed_in:
            return base
        wanted = (base.digest, listed_in)
        if wanted not in self._installed:
            self._installed[wanted] = await self._requirements(self._project.snapshot, listed_in, base, place)
        return self._installed[wanted]

    async def _resolve(self, name: str) -> Image:
        if name not in self._named:
            self._named[name] = await self._engine.resolve_image(name)
        return self._named[name]
