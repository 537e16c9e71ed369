"""Find out which image each stage runs in, once for a submission."""

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.task import Image
from wherry.service.ports.containers import ContainerEngine
from wherry.service.usecases.read_project import Project


class ResolveImages:
    """Turns image names into digests."""

    def __init__(self, *, engine: ContainerEngine, default_image: str) -> None:
        """With the server's `default_image` for stages that name none; it may be empty."""
        self._engine = engine
        self._default_image = default_image

    async def __call__(self, project: Project) -> dict[StageName, Image]:
        """The image of each selected stage.

        Raises:
            PipelineInvalid: if a stage has none.
            ImageNotFound: if one cannot be had.
        """
        names = {}
        for stage in project.stages:
            name = project.settings[stage.name].image or self._default_image
            if not name:
                raise PipelineInvalid(
                    f"stage {stage.name!r} has no image to run in",
                    hint='Name one in .dvc/wherry.toml ([defaults] image = "…"), under '
                    "stages.X.meta.wherry.image, or with --image.",
                    place=stage.place,
                )
            names[stage.name] = name
        # One after the other: the engine fetches layers in parallel by itself.
        images = {name: await self._engine.resolve_image(name) for name in dict.fromkeys(names.values())}
        return {stage: images[name] for stage, name in names.items()}
