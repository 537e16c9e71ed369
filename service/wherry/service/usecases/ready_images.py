"""Have the image of a stage at hand before it runs: pulled, or made of what the project says."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from wherry.service.domain.errors import ImageNotMade
from wherry.service.domain.images.image import DockerfileRecipe, Image, InstallRecipe
from wherry.service.domain.images.installation import TOOLS_AT, WORKSPACE_AT
from wherry.service.domain.limits import BUILD_LINES_KEPT
from wherry.service.domain.paths import ROOT
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.ports.images import Content, DockerBuild, ImageMaker, ImageStore, Installation, Tell
from wherry.service.ports.workspaces import NodeCache, NodeLease
from wherry.service.usecases.trim_images import TrimImages

KEY_LABEL = "wherry.recipe"
"""Label of images that were made: the key of the recipe."""


@dataclass(slots=True, eq=False)
class _Making:
    """An image that is being made, and those who wait for it."""

    name: str
    listeners: list[Tell] = field(default_factory=list)
    said: deque[bytes] = field(default_factory=lambda: deque(maxlen=BUILD_LINES_KEPT))
    task: "asyncio.Task[None] | None" = None


class ReadyImages:
    """Pulls or makes each image once, however many stages of whatever runs wait for it."""

    def __init__(
        self,
        *,
        store: ImageStore,
        maker: ImageMaker,
        node: NodeCache,
        trim: TrimImages,
        installer: Mapping[str, Content],
        at_once: int,
    ) -> None:
        """Pull or make at most `at_once` images at a time. `installer`: the files of the program that installs packages."""
        self._store = store
        self._maker = maker
        self._node = node
        self._trim = trim
        self._installer = installer
        self._places = asyncio.Semaphore(at_once)
        self._making: dict[str, _Making] = {}
        self._used: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def __call__(self, image: Image, tell: Tell) -> AsyncIterator[None]:
        """Have the image at hand and keep it there until left.

        Raises:
            ImageNotMade: if it cannot be made.
        """
        self._used[image.digest] += 1
        try:
            await self._make_ready(image, tell)
            if image.recipe is not None:
                await self._trim.note_use(image.digest)
            yield
        finally:
            self._used[image.digest] -= 1
            self._used += Counter()

    def in_use(self) -> frozenset[str]:
        """The images that must not go."""
        return frozenset(self._used)

    async def _make_ready(self, image: Image, tell: Tell) -> None:
        async with self._trim.removing:
            if await self._store.holds(image.digest):
                return
        making = self._making.get(image.digest)
        if making is None:
            making = _Making(image.digest)
            self._making[image.digest] = making
            making.task = asyncio.create_task(self._make(image, making), name=f"image {image.digest}")
        else:
            await tell([f"{image.name}: on its way for another stage".encode(), *making.said])
        await self._wait_for(making, tell)

    async def _wait_for(self, making: _Making, tell: Tell) -> None:
        """Wait with the others; who is the last to leave ends it."""
        assert making.task is not None  # set before anybody can wait
        making.listeners.append(tell)
        try:
            await asyncio.shield(making.task)
        finally:
            making.listeners.remove(tell)
            if not making.listeners and not making.task.done():
                # Whoever comes from now on begins anew.
                self._forget(making)
                making.task.cancel()
                await asyncio.shield(asyncio.wait([making.task]))

    async def _make(self, image: Image, making: _Making) -> None:
        async def tell(lines: Sequence[bytes]) -> None:
            making.said.extend(lines)
            for listener in list(making.listeners):
                await listener(lines)

        try:
            # Of one that is made on one that is made: that first, outside the limit, or both would wait for a place.
            async with contextlib.AsyncExitStack() as bases:
                for base in image.recipe.bases if image.recipe else ():
                    await bases.enter_async_context(self(base, tell))
                async with self._places:
                    with self._node.lease() as lease:
                        await self._run(image, lease, tell)
            if image.recipe is not None:
                await self._trim(self.in_use)
        except ImageNotMade as exc:
            message = f"{image.name}: {exc.message}"
            if isinstance(image.recipe, InstallRecipe):
                message = _with_reason(message, making.said)
            raise ImageNotMade(message, hint=exc.hint) from exc
        finally:
            self._forget(making)

    def _forget(self, making: _Making) -> None:
        if self._making.get(making.name) is making:
            del self._making[making.name]

    async def _run(self, image: Image, lease: NodeLease, tell: Tell) -> None:
        if image.recipe is None:
            await self._store.pull(image, tell)
            return
        await tell([f"making the image of {image.name}".encode()])
        match image.recipe:
            case InstallRecipe() as recipe:
                await self._maker.install(await self._installation(image, recipe, lease), tell)
            case DockerfileRecipe() as recipe:
                files = {str(path): await _content(file, lease) for path, file in recipe.files.items()}
                build = DockerBuild(
                    name=image.digest,
                    dockerfile=recipe.dockerfile,
                    files=files,
                    bases=tuple(base.digest for base in recipe.bases),
                    args=recipe.args,
                    labels={KEY_LABEL: recipe.key},
                )
                await self._maker.build(build, tell)

    async def _installation(self, image: Image, recipe: InstallRecipe, lease: NodeLease) -> Installation:
        top = WORKSPACE_AT if recipe.root_at == ROOT else f"{WORKSPACE_AT}/{recipe.root_at}"
        files = {
            f"{top}/{path}": await _content(file, lease)
            for path, file in {**recipe.present, **recipe.files}.items()
        }
        files |= {f"{TOOLS_AT}/{name}": Content(source=data) for name, data in recipe.generated.items()}
        files |= {f"{TOOLS_AT}/{name}": content for name, content in self._installer.items()}
        return Installation(
            name=image.digest,
            base=recipe.base.digest,
            script=recipe.script,
            files=files,
            labels={KEY_LABEL: recipe.key},
        )


async def _content(file: SnapshotFile, lease: NodeLease) -> Content:
    return Content(source=await lease.path(file.hash), executable=file.executable)


def _with_reason(message: str, said: Sequence[bytes]) -> str:
    """What failed, with the line that says why: the last that calls itself an error, else the last."""
    lines = [text for line in said if (text := line.decode(errors="replace").strip())]
    errors = [text for text in lines if text.lower().startswith("error")]
    return f"{message}: {(errors or lines)[-1][:_REASON_CHARACTERS_MAX]}" if lines else message


_REASON_CHARACTERS_MAX = 500
