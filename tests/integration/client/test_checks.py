"""`wherry doctor` and `wherry cache fsck` over a real socket, as programs."""

from typing import Any

import pytest

from tests.integration.client.conftest import Run
from tests.integration.client.fake_service import FakeService
from wherry.v1.blobs_pb2 import BlobFault
from wherry.v1.system_pb2 import CheckFinding, Leftover


def states(document: Any) -> dict[str, str]:
    return {check["name"]: check["state"] for check in document["checks"]}


def test_doctor_names_what_differs_and_warnings_alone_are_no_failure(
    wherry: Run, service: FakeService
) -> None:
    service.script.findings = [
        CheckFinding(name="engine", state=CheckFinding.STATE_OK, message="it answers"),
        CheckFinding(name="store.only_new", state=CheckFinding.STATE_WARNING, message="no", hint="harmless"),
        CheckFinding(name="of.later", message="a check of a newer service"),
    ]
    done = wherry("doctor", "--json")
    found = states(done.json())
    assert done.code == 0
    assert found["version"] == "warning"  # the fake service is 9.9.9
    assert (found["engine"], found["store.only_new"], found["of.later"]) == ("ok", "warning", "warning")
    assert (found["clock"], found["git"], found["project"]) == ("ok", "ok", "ok")
    shown = wherry("doctor")
    assert shown.code == 0
    assert "warning  store.only_new" in shown.out
    assert "harmless" in shown.out


def test_doctor_fails_when_a_check_does(wherry: Run, service: FakeService) -> None:
    service.script.findings = [
        CheckFinding(name="engine", state=CheckFinding.STATE_FAILED, message="silent\x1b[2J", hint="start it")
    ]
    done = wherry("doctor")
    assert done.code == 1
    assert "failed   engine" in done.out
    assert "start it" in done.out
    assert "\x1b" not in done.out
    document = wherry("doctor", "--json").json()
    assert document["ok"] is False


@pytest.mark.parametrize(
    ("off_s", "state", "code"), [(-60, "warning", 0), (60, "warning", 0), (3600, "failed", 1)]
)
def test_doctor_compares_the_clocks(
    wherry: Run, service: FakeService, off_s: float, state: str, code: int
) -> None:
    service.script.clock_off_s = off_s
    done = wherry("doctor", "--json")
    assert (states(done.json())["clock"], done.code) == (state, code)


def test_doctor_without_a_service_still_looks_at_this_machine(wherry: Run, unused_port: int) -> None:
    done = wherry("doctor", "--json", WHERRY_SERVER=f"grpc://127.0.0.1:{unused_port}")
    found = states(done.json())
    assert (done.code, found["service"], found["git"]) == (69, "failed", "ok")


def test_fsck_tells_every_fault_once_and_ends_with_1(wherry: Run, service: FakeService) -> None:
    service.script.faults = [
        BlobFault(hash="ab" * 16, kind=BlobFault.KIND_DAMAGED, message="has other content"),
        BlobFault(hash="cd" * 16 + ".dir", kind=BlobFault.KIND_INCOMPLETE, message="lists it"),
    ]
    done = wherry("cache", "fsck")
    assert done.code == 1
    assert done.out.splitlines() == [
        f"damaged: {'ab' * 16} has other content",
        f"incomplete: {'cd' * 16}.dir lists it",
    ]
    assert wherry("cache", "fsck", "--full", "--json").json() == {
        "schema": "wherry.fsck/1",
        "checked": 2,
        "total": 2,
        "bytes_read": 20,
        "faults": [
            {"hash": "ab" * 16, "kind": "damaged", "message": "has other content"},
            {"hash": "cd" * 16 + ".dir", "kind": "incomplete", "message": "lists it"},
        ],
    }
    assert wherry("cache", "fsck", "--sample", "7").code == 1
    assert {name: count for name, count in service.calls.items() if name.startswith("check:")} == {
        "check:1000": 1,
        "check:0": 1,
        "check:7": 1,
    }


def test_fsck_of_a_store_in_order_says_so(wherry: Run) -> None:
    done = wherry("cache", "fsck")
    assert (done.code, done.out) == (0, "2 of 2 objects checked: all as their names say\n")
    assert wherry("cache", "fsck", "--full", "--sample", "3").code == 254


def test_doctor_removes_leftovers_when_it_is_to_and_names_each(wherry: Run, service: FakeService) -> None:
    left = Leftover(kind="network", name="wherry-1234", home="/srv/gone")
    service.script.leftovers = [left]

    assert "removed" not in wherry("doctor").out
    done = wherry("doctor", "--fix")

    assert "removed the network wherry-1234 of /srv/gone" in done.out
    assert "removed" not in wherry("doctor", "--fix").out
