"""What stages wrote: shown again for known results, and read on over calls that end."""

from collections.abc import Callable

import grpc
import pytest

from tests.e2e.harness import Metadata, Project
from wherry.v1 import runs_pb2, runs_pb2_grpc

Make = Callable[[dict[str, str]], Project]

CHATTY = """\
stages:
  train:
    cmd: echo epoch 1 && echo careful >&2 && cp a model
    deps: [a]
    outs: [model]
"""
WAITING = """\
stages:
  slow:
    cmd: echo begun && while [ ! -e /tmp/never ]; do sleep 0.1; done
    deps: [a]
"""


def test_a_cached_stage_shows_what_the_original_wrote(make_project: Make) -> None:
    project = make_project({"dvc.yaml": CHATTY, "a": "chatty"})
    first = project.repro()["id"]
    again = project.repro()

    shown = project.wherry("logs", again["id"], "train").expect(0).out.splitlines()
    original = project.wherry("logs", first, "train").expect(0).out.splitlines()

    assert again["stages"][0]["cache"] == "hit"
    assert shown[0] == f"cached: computed in run {first} by ana"
    assert shown[1:] == original
    assert {"epoch 1", "careful"} <= set(shown)


def test_a_bounded_call_ends_and_the_next_one_goes_on(
    channel: grpc.Channel, token: Metadata, make_project: Make
) -> None:
    project = make_project({"dvc.yaml": WAITING, "a": "waiting"})
    run = project.wherry("repro", "--detach", "--json").expect(0).json()["id"]
    stub = runs_pb2_grpc.RunServiceStub(channel)

    # Calls end by themselves while the run goes on: no line is missed between them, none comes twice.
    lines: list[runs_pb2.LogLine] = []
    done = False
    while b"begun" not in [line.text for line in lines]:
        after = lines[-1].sequence if lines else 0
        request = runs_pb2.TailLogsRequest(run=run, follow=True, after_sequence=after, wait_s=0.2)
        for page in stub.TailLogs(request, metadata=token, timeout=60):
            lines += page.lines
            done |= page.done
    events = list(stub.WatchRun(runs_pb2.WatchRunRequest(run=run, wait_s=0.2), metadata=token, timeout=60))
    project.wherry("stop", run).expect(0)
    project.wherry("wait", run).expect(3)
    rest = runs_pb2.TailLogsRequest(run=run, follow=True, after_sequence=lines[-1].sequence, wait_s=60)
    last = list(stub.TailLogs(rest, metadata=token, timeout=60))

    assert not done
    assert not any(event.run.state == runs_pb2.STATE_CANCELLED for event in events)
    assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    assert last[-1].done


def test_every_change_of_state_carries_its_time(
    channel: grpc.Channel, token: Metadata, make_project: Make
) -> None:
    project = make_project({"dvc.yaml": CHATTY, "a": "timed"})
    run = project.repro()["id"]

    events = runs_pb2_grpc.RunServiceStub(channel).WatchRun(runs_pb2.WatchRunRequest(run=run), metadata=token)
    stages = [event.stage for event in events if event.HasField("stage")]
    words = [
        (runs_pb2.State.Name(stage.state)[6:].lower(), runs_pb2.Phase.Name(stage.phase)[6:].lower())
        for stage in stages
    ]
    times = [stage.since.ToNanoseconds() for stage in stages]

    assert list(dict.fromkeys(words)) == [
        ("preparing", "fetching"),
        ("running", "unspecified"),
        ("running", "collecting"),
        ("running", "publishing"),
        ("succeeded", "unspecified"),
    ]
    assert times == sorted(times)
    assert times[0] > 0


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_wait_that_is_no_time_is_refused(channel: grpc.Channel, token: Metadata, seconds: float) -> None:
    request = runs_pb2.TailLogsRequest(run="1", wait_s=seconds)

    with pytest.raises(grpc.RpcError) as refused:
        list(runs_pb2_grpc.RunServiceStub(channel).TailLogs(request, metadata=token))

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
