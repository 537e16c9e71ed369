"""Find out which image each stage runs in, once for a submission."""

from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.images.image import Image
from wherry.service.domain.settings import StageSettings
from wherry.service.ports.containers import ContainerEngine
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.resolve_requirements import ResolveRequirements


class ResolveImages:
    """Turns what the settings say of images into content: digests, and recipes of images that are made."""

    def __init__(
        self, *, engine: ContainerEngine, requirements: ResolveRequirements, default_image: str
    ) -> None:
        """With the server's `default_image` for stages that name none; it may be empty."""
        self._engine = engine
        self._requirements = requirements
        self._default_image = default_image

    async def __call__(self, project: Project) -> dict[StageName, Image]:
        """The image of each selected stage.

        Raises:
            PipelineInvalid: if a stage has none, or a file that it is made of is wrong.
            ImageNotFound: if one cannot be had.
        """
        # One after the other: the engine fetches layers in parallel by itself.
        named = dict[str, Image]()
        made = dict[tuple[str, tuple[str, ...]], Image]()
        found = {}
        for stage in project.stages:
            settings = project.settings[stage.name]
            name = self._name(stage, settings)
            if name not in named:
                named[name] = await self._engine.resolve_image(name)
            found[stage.name] = named[name]
            if settings.requirements:
                wanted = (name, settings.requirements)
                if wanted not in made:
                    made[wanted] = await self._requirements(
                        project.snapshot,
                        settings.requirements,
                        named[name],
                        stage.settings_place or stage.place,
                    )
                found[stage.name] = made[wanted]
        return found

    def _name(self, stage: Stage, settings: StageSettings) -> str:
        name = settings.image or self._default_image
        if not name:
            raise PipelineInvalid(
                f"stage {stage.name!r} has no image to run in",
                hint='Name one in .dvc/wherry.toml ([defaults] image = "…"), under '
                "stages.X.meta.wherry.image, or with --image.",
                place=stage.place,
            )
        return name
