"""A StageRunner that has the image at hand before the stage runs."""

from collections.abc import Sequence

from wherry.service.domain.errors import BlobMissing, DiskFull, ImageNotFound, ImageNotMade, Unavailable
from wherry.service.domain.states import State
from wherry.service.domain.task import AttemptId, Failed, Lost, Outcome, StageTask, Vanished
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.ready_images import ReadyImages


class ImageStageRunner(StageRunner):
    """Pulls or makes the image that a stage needs; the stage has failed when that cannot be done."""

    def __init__(self, inner: StageRunner, *, ready: ReadyImages) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._ready = ready

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Tell on the way what is said about the image, as lines of Wherry's own."""
        preparing = False

        async def tell(lines: Sequence[bytes]) -> None:
            nonlocal preparing
            if not preparing:
                preparing = True
                await observer.entered(State.PREPARING)
            await observer.wrote(LogStream.SYSTEM, lines)

        try:
            async with self._ready(task.image, tell):
                return await self._inner.run(task, attempt, observer)
        except (ImageNotMade, ImageNotFound) as exc:
            return Failed(reason=exc.message, exit_code=None, wall_s=None)
        except BlobMissing as exc:
            return Vanished(reason=exc.message)
        except Unavailable as exc:
            return Lost(reason=exc.message, may_pass=not isinstance(exc, DiskFull))
