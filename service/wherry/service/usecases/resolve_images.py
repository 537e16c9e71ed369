"""Find out which image each stage runs in, once for a submission."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.errors import ImageNotFound, PipelineInvalid, Place
from wherry.service.domain.images.image import Image, NamedImage, PullPolicy
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.settings import BuildSettings, StageSettings
from wherry.service.ports.images import ImageStore
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.resolve_builds import ResolveBuilds
from wherry.service.usecases.resolve_requirements import ResolveRequirements


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImages:
    """The images of a project."""

    stages: Mapping[StageName, Image]
    """Of each selected stage."""
    named: tuple[NamedImage, ...]
    """What the names stand for that occur in the settings and in Dockerfiles."""


class ResolveImages:
    """Turns what the settings say of images into content: digests, and recipes of images that are made."""

    def __init__(
        self,
        *,
        images: ImageStore,
        builds: ResolveBuilds,
        requirements: ResolveRequirements,
        default_image: str,
        pull: PullPolicy,
    ) -> None:
        """With the server's `default_image` for stages that name none, which may be empty; and its policy, where a stage says none.

        That it never pulls no stage changes.
        """
        self._pull = pull
        self._images = images
        self._builds = builds
        self._requirements = requirements
        self._default_image = default_image

    async def __call__(self, project: Project, known: Iterable[NamedImage] = ()) -> ResolvedImages:
        """The images. What is `known` already is not asked for again, whatever the name stands for by now.

        Raises:
            PipelineInvalid: if a stage has none, or a file that it is made of is wrong.
            ImageNotFound: if one cannot be had.
        """
        once = _Once(self._images, self._builds, self._requirements, project, known=known)
        found = {}
        # One after the other: the engine fetches layers in parallel by itself.
        for stage in project.stages:
            settings = project.settings[stage.name]
            place = settings.place(
                "build" if settings.build else "image", stage.settings_place or stage.place
            )
            policy = self._pull if self._pull is PullPolicy.NEVER else settings.pull or self._pull
            base = await once.base(self._said(stage, settings), policy, place)
            found[stage.name] = await once.installed(
                base, settings.requirements, settings.place("requirements", stage.place)
            )
        return ResolvedImages(stages=found, named=once.named)

    def _said(self, stage: Stage, settings: StageSettings) -> str | BuildSettings:
        said = settings.build or settings.image or self._default_image
        if not said:
            raise PipelineInvalid(
                f"stage {stage.name!r} has no image to run in",
                hint="`wherry init` proposes one for the project; or name it in .dvc/wherry.toml "
                '([defaults] image = "…"), under stages.X.meta.wherry.image, or with --image; or a '
                "Dockerfile of the project in 'build'.",
                place=stage.place,
            )
        return said


class _Once:
    """Resolves what several stages of a project share once."""

    def __init__(
        self,
        images: ImageStore,
        builds: ResolveBuilds,
        requirements: ResolveRequirements,
        project: Project,
        *,
        known: Iterable[NamedImage],
    ) -> None:
        self._images = images
        self._builds = builds
        self._requirements = requirements
        self._project = project
        self._named = {(one.image.name, one.policy): one.image for one in known}
        # The server's policy may have been changed since; that moves no name of a run that is known.
        self._known = {name: image for (name, _), image in self._named.items()}
        self._built: list[tuple[BuildSettings, PullPolicy, Image]] = []
        self._installed: dict[tuple[str, tuple[ProjectPath, ...]], Image] = {}

    @property
    def named(self) -> tuple[NamedImage, ...]:
        """All names that were resolved, or known before."""
        return tuple(NamedImage(policy=policy, image=image) for (_, policy), image in self._named.items())

    async def base(self, said: str | BuildSettings, policy: PullPolicy, place: Place) -> Image:
        """The image that is named, or described."""

        async def resolve(name: str) -> Image:
            try:
                return await self._resolve(name, policy)
            except ImageNotFound as exc:
                raise ImageNotFound(exc.message, hint=exc.hint, place=place) from exc

        if isinstance(said, str):
            return await resolve(said)
        for known, under, image in self._built:
            if (known, under) == (said, policy):
                return image
        image = await self._builds(self._project, said, place, resolve)
        self._built.append((said, policy, image))
        return image

    async def installed(self, base: Image, listed_in: tuple[ProjectPath, ...] | None, place: Place) -> Image:
        """The base with what the files list."""
        if not listed_in:
            return base
        wanted = (base.digest, listed_in)
        if wanted not in self._installed:
            self._installed[wanted] = await self._requirements(self._project.snapshot, listed_in, base, place)
        return self._installed[wanted]

    async def _resolve(self, name: str, policy: PullPolicy) -> Image:
        if (name, policy) not in self._named:
            known = self._known.get(name)
            self._named[name, policy] = known or await self._images.resolve(name, policy)
        return self._named[name, policy]
