"""What must be true of the output of a run when all is over."""

from collections.abc import Mapping, Sequence

from tests.unit.usecases.runs_machine import LINES, FakeContainer, made_by
from wherry.service.domain.blob import digest_content
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import Run, StageRecord
from wherry.service.domain.states import CacheUse, State
from wherry.service.ports.logs import LogLine, LogStream


def check_output(
    run: Run, shown: Mapping[StageName, Sequence[LogLine]], every: Sequence[FakeContainer]
) -> None:
    """What is shown of each stage, of all containers that there ever were."""
    for name, record in run.stages.items():
        lines = [line for line in shown[name] if line.line.stream is LogStream.STDOUT]
        where = f"{name} of run {run.id}"
        texts = [line.line.text.decode() for line in lines]
        assert len(texts) == len(set(texts)), f"{where}: lines come twice: {texts}"
        if record.state is State.SUCCEEDED:
            last = [line.line.text.decode() for line in lines if line.sequence > record.output_after]
            _check_success(record, last, every, where=where)


def _check_success(
    record: StageRecord, said: Sequence[str], every: Sequence[FakeContainer], *, where: str
) -> None:
    """All that one execution wrote, once; of whose outputs they are unless others made the same once more."""
    (out,) = record.outs
    (maker,) = [one for one in every if digest_content(made_by(one.attempt, out.path)).hash == out.hash]
    assert maker.exit is not None
    assert maker.exit.code == 0
    if record.cache is CacheUse.HIT:
        # Before it there may be what was relayed of an execution that came to nothing.
        said = [line for line in said if line.startswith(f"{maker.attempt} ")]
    begun = {one.attempt for one in every if said and said[0].startswith(f"{one.attempt} ")}
    if record.cache is CacheUse.MERGED:
        assert len(begun) == 1, f"{where}: nothing of what its maker wrote"
    else:
        begun = {maker.attempt}
    expected = [f"{attempt} {number}" for attempt in begun for number in range(LINES)]
    assert said == expected, f"{where}: {said} instead of {expected}"
