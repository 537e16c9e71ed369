"""Names of images are resolved once for a run, whatever becomes of them later."""

import asyncio
from types import SimpleNamespace
from typing import cast

from wherry.service.domain.errors import Place
from wherry.service.domain.images.image import Image, PullPolicy
from wherry.service.domain.settings import StageSettings
from wherry.service.ports.images import ImageStore, Tell
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.resolve_builds import ResolveBuilds
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_requirements import ResolveRequirements


class MovingTags(ImageStore):
    """Each question has another answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, PullPolicy]] = []

    async def holds(self, name: str) -> bool:
        raise AssertionError(name)

    async def pull(self, image: Image, tell: Tell) -> None:
        raise AssertionError(image)

    async def resolve(self, name: str, policy: PullPolicy) -> Image:
        self.asked.append((name, policy))
        return Image(name=name, digest=f"{name}@sha256:{len(self.asked)}", platform="linux/amd64")


def resolver(images: ImageStore, pull: PullPolicy) -> ResolveImages:
    return ResolveImages(
        images=images,
        builds=cast(ResolveBuilds, None),
        requirements=cast(ResolveRequirements, None),
        default_image="tool:1",
        pull=pull,
    )


def a_project(**settings: StageSettings) -> Project:
    place = Place(path="dvc.yaml", line=1)
    stages = [SimpleNamespace(name=name, place=place, settings_place=None) for name in settings]
    return cast(Project, SimpleNamespace(stages=stages, settings=settings))


def test_a_name_that_is_known_for_the_run_is_not_asked_for_again() -> None:
    images = MovingTags()
    project = a_project(train=StageSettings(), other=StageSettings(image="other:1"))

    first = asyncio.run(resolver(images, PullPolicy.ALWAYS)(project))
    # Meanwhile the operator has chosen another policy, too.
    again = asyncio.run(resolver(images, PullPolicy.MISSING)(project, first.named))
    anew = asyncio.run(resolver(images, PullPolicy.MISSING)(project))

    assert again.stages == first.stages
    assert images.asked[:2] == [("tool:1", PullPolicy.ALWAYS), ("other:1", PullPolicy.ALWAYS)]
    assert len(images.asked) == 4
    assert anew.stages != first.stages


def test_one_name_under_two_policies_may_stand_for_two_images_and_keeps_both() -> None:
    images = MovingTags()
    project = a_project(train=StageSettings(), other=StageSettings(pull=PullPolicy.MISSING))

    first = asyncio.run(resolver(images, PullPolicy.ALWAYS)(project))
    again = asyncio.run(resolver(images, PullPolicy.ALWAYS)(project, first.named))

    assert len(set(first.stages.values())) == 2
    assert again.stages == first.stages
