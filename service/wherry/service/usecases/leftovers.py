"""What an earlier life of the service has left running, and which of it is taken up again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from wherry.service.domain.run import Run
from wherry.service.domain.task import AttemptId, RunId, StageTask, StrictKey
from wherry.service.ports.containers import ContainerEngine, ContainerId, FoundContainer
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.workspaces import Workspaces

RUN_LABEL = "wherry.run"
STAGE_LABEL = "wherry.stage"
ATTEMPT_LABEL = "wherry.attempt"
KEY_LABEL = "wherry.key"
SHARED_LABEL = "wherry.shared"
GPUS_LABEL = "wherry.gpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A container that was started before, with its workspace."""

    container: ContainerId
    attempt: AttemptId
    run_id: RunId
    stage: str
    key: StrictKey
    is_shared: bool
    """Whether it may stand for the stage in other runs too."""
    gpus: tuple[int, ...] = ()
    """GPUs that are its own, by index."""

    def is_for(self, task: StageTask) -> bool:
        """Whether it executes what the task asks for."""
        if self.key != task.key:
            return False
        own = (self.run_id, self.stage) == (task.run_id, task.stage.name)
        return own or (self.is_shared and task.may_share)


def attempt_labels(task: StageTask, attempt: AttemptId) -> dict[str, str]:
    """The labels by which a container is known again."""
    return {
        RUN_LABEL: task.run_id,
        STAGE_LABEL: task.stage.name,
        ATTEMPT_LABEL: attempt,
        KEY_LABEL: task.key,
        SHARED_LABEL: "yes" if task.may_share else "no",
        GPUS_LABEL: ",".join(map(str, task.gpus)),
    }


class Leftovers:
    """Containers that wait to be taken up by the runs that go on."""

    def __init__(
        self, *, engine: ContainerEngine, workspaces: Workspaces, log: EventLog, labels: Mapping[str, str]
    ) -> None:
        """Containers with `labels` are ours."""
        self._engine = engine
        self._workspaces = workspaces
        self._log = log
        self._labels = labels
        self._waiting: list[Leftover] = []

    async def sort(self, active: Sequence[Run], left: Collection[AttemptId]) -> None:
        """Keep what the runs that go on may want; remove the other containers, and of the workspaces `left` theirs.

        A container whose workspace is gone was given up already: only the engine did not answer then.

        Raises:
            EngineUnavailable: if the engine does not answer.
        """
        wanted = {
            stage.key
            for run in active
            for stage in run.stages.values()
            if stage.key and not stage.state.is_final
        }
        for found in await self._engine.list_labelled(self._labels):
            leftover = _leftover(found)
            is_whole = leftover is not None and found.has_started and leftover.attempt in left
            if leftover is not None and is_whole and leftover.key in wanted:
                self._waiting.append(leftover)
            else:
                await self._engine.remove(found.id)
        kept = {leftover.attempt for leftover in self._waiting}
        for attempt in left:
            if attempt not in kept:
                await self._workspaces.remove_attempt(attempt)
        self._log.info("sorted what was left", kept=len(kept))

    def take(self, task: StageTask) -> Leftover | None:
        """The container that executes what the task asks for; it is given once."""
        for leftover in self._waiting:
            if leftover.is_for(task):
                self._waiting.remove(leftover)
                return leftover
        return None

    @property
    def attempts(self) -> set[AttemptId]:
        """Those whose containers wait."""
        return {leftover.attempt for leftover in self._waiting}

    def gpus_of(self, task: StageTask) -> tuple[int, ...] | None:
        """The GPUs of the container that `take` would give; None: it would give none."""
        return next((leftover.gpus for leftover in self._waiting if leftover.is_for(task)), None)

    async def clear(self) -> None:
        """Remove what nobody has taken."""
        while self._waiting:
            leftover = self._waiting.pop()
            await self._engine.remove(leftover.container)
            await self._workspaces.remove_attempt(leftover.attempt)


def _leftover(found: FoundContainer) -> Leftover | None:
    labels = found.labels
    if not {RUN_LABEL, STAGE_LABEL, ATTEMPT_LABEL, KEY_LABEL} <= labels.keys():
        return None
    return Leftover(
        container=found.id,
        attempt=AttemptId(labels[ATTEMPT_LABEL]),
        run_id=RunId(labels[RUN_LABEL]),
        stage=labels[STAGE_LABEL],
        key=StrictKey(labels[KEY_LABEL]),
        is_shared=labels.get(SHARED_LABEL) == "yes",
        gpus=tuple(int(gpu) for gpu in labels.get(GPUS_LABEL, "").split(",") if gpu.isdecimal()),
    )
