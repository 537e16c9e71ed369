"""Events travel several to a message, and say the same as one by one."""

from datetime import UTC, datetime

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind
from wherry.service.domain.run import EndedAttempt, Event, FileRecord, Run, StageRecord
from wherry.service.domain.states import CacheUse, HitSource, State
from wherry.service.domain.task import RunId
from wherry.service.domain.usage import Usage
from wherry.service.rpc.convert_runs import batches_to, event_to
from wherry.v1.runs_pb2 import WatchRunResponse

_MIB = 1024 * 1024
_SINCE = datetime(1969, 12, 31, 23, 59, 59, 500, tzinfo=UTC)
_RUN = Run(
    id=RunId("7"),
    name="n",
    project="p",
    user="ana",
    rev="",
    dirty=False,
    message="",
    state=State.RUNNING,
    created_at=datetime(2026, 5, 6, tzinfo=UTC),
    stages={},
)


def _stage(name: str, params_json: str = "") -> StageRecord:
    file = FileRecord(path=ProjectPath("o"), hash=BlobHash("1" * 32), size_bytes=3, kind=OutputKind.METRIC)
    return StageRecord(
        name=StageName(name),
        state=State.SUCCEEDED,
        cache=CacheUse.HIT,
        source=HitSource.RUN,
        from_run=RunId("3"),
        wall_s=0.0,
        usage=Usage(cpu_s=1.5),
        earlier=(EndedAttempt(reason="exited with 1", exit_code=1),),
        deps=(file,),
        outs=(file,),
        undeclared=(file,),
        undeclared_deps=("o",),
        since=_SINCE,
        params_json=params_json,
    )


def _events(*about: Run | StageRecord) -> list[Event]:
    return [Event(sequence=number, about=one) for number, one in enumerate(about, 1)]


def _apart(batches: list[WatchRunResponse]) -> list[WatchRunResponse]:
    assert all(message.WhichOneof("event") is None and not message.sequence for message in batches)
    return [event for message in batches for event in message.batch]


def test_a_page_is_one_message_that_says_what_many_would() -> None:
    events = _events(_RUN, *(_stage(f"s{number}") for number in range(400)), StageRecord(name=StageName("q")))
    batches = list(batches_to(events))
    assert len(batches) == 1
    assert _apart(batches) == [event_to(event) for event in events]
    said = batches[0].batch[1].stage
    assert said.since.ToDatetime(tzinfo=UTC) == _SINCE
    assert (said.HasField("wall_s"), said.HasField("exit_code")) == (True, False)
    assert (said.earlier[0].exit_code, said.usage.cpu_s, said.outs[0].path) == (1, 1.5, "o")
    assert list(batches_to([])) == []


def test_no_message_becomes_large_by_the_events_that_are_put_together() -> None:
    names = ["small", "large", "small", "half", "half", "small"]
    size = {"small": 10, "half": _MIB * 6 // 10, "large": 3 * _MIB}
    events = _events(*(_stage(name, params_json="x" * size[name]) for name in names))
    batches = list(batches_to(events))
    assert [[event.stage.name for event in message.batch] for message in batches] == [
        ["small"],
        ["large"],
        ["small", "half"],
        ["half", "small"],
    ]
    assert _apart(batches) == [event_to(event) for event in events]
