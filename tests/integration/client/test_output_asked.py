"""Output is asked for where there may be some: of a run of known results it says what the states say."""

import os
from pathlib import Path

import pytest

from tests.integration.client.fake_service import FakeService
from wherry.client import watching
from wherry.client.client import Client
from wherry.client.watching import Event, Output, Watcher
from wherry.v1 import runs_pb2

_KNOWN = runs_pb2.StageRecord(
    name="prepare", state=runs_pb2.STATE_SUCCEEDED, cache=runs_pb2.CACHE_USE_HIT, from_run="37"
)
_RUNNING = runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_RUNNING)
_NOTE = b"cached: computed in run 37"
_LONG_S = 3600.0


def _watch(service: FakeService, folder: Path, *, notes: bool) -> list[Event]:
    environ = {**os.environ, "WHERRY_HOME": str(folder), "WHERRY_USER": "ana"}
    with Client(server=service.address, folder=folder, environ=environ) as client:
        return list(Watcher(client.connection, "42", notes=notes).events(timeout=60))


def _lines(events: list[Event]) -> list[bytes]:
    return [event.line.text for event in events if isinstance(event, Output)]


@pytest.fixture(autouse=True)
def said(service: FakeService) -> None:
    service.script.notes = [("prepare", _NOTE)]
    service.script.run.state = runs_pb2.STATE_SUCCEEDED


@pytest.mark.parametrize("notes", [False, True])
def test_of_known_results_only_for_who_wants_the_notes(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, notes: bool
) -> None:
    monkeypatch.setattr(watching, "_ONLY_KNOWN_S", _LONG_S)
    service.script.events = [_KNOWN]
    assert _lines(_watch(service, tmp_path, notes=notes)) == ([_NOTE] if notes else [])
    assert service.calls["logs"] == int(notes)


@pytest.mark.parametrize("state", [runs_pb2.STATE_SUCCEEDED, runs_pb2.STATE_FAILED])
def test_as_soon_as_there_is_anything_else(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: runs_pb2.State.ValueType
) -> None:
    monkeypatch.setattr(watching, "_ONLY_KNOWN_S", _LONG_S)
    service.script.events = [_KNOWN, _RUNNING] if state == runs_pb2.STATE_SUCCEEDED else [_KNOWN]
    service.script.run.state = state
    assert _lines(_watch(service, tmp_path, notes=False)) == [_NOTE]


def test_after_a_moment_though_nothing_was_heard(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_ONLY_KNOWN_S", 0.0)
    service.script.events, service.script.never_ends = [_KNOWN], True
    environ = {**os.environ, "WHERRY_HOME": str(tmp_path), "WHERRY_USER": "ana"}
    with Client(server=service.address, folder=tmp_path, environ=environ) as client:
        events = Watcher(client.connection, "42", notes=False).events(timeout=60)
        assert next(event for event in events if isinstance(event, Output)).line.stage == "prepare"
