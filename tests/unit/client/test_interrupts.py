"""Ctrl-C is Ctrl-C, also where Python makes the error of a lock of it."""

import sys
import threading
from concurrent.futures import Future
from types import FrameType
from typing import Any

import click
import pytest

from wherry.client import cli
from wherry.client.cli import interrupts
from wherry.client.cli.settings import Settings


def _wait_and_be_interrupted(settings: Settings) -> None:
    """Wait as one waits for a thread that sends files; the interrupt strikes where the lock was just given back."""

    def strike(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is threading.Condition.wait.__code__ and "saved_state" in frame.f_locals:
            raise KeyboardInterrupt
        return strike

    before = sys.gettrace()
    sys.settrace(strike)
    try:
        Future[None]().result(timeout=60)
    finally:
        sys.settrace(before)


def test_it_would_be_the_error_of_a_lock() -> None:
    with pytest.raises(RuntimeError, match="release"):
        _wait_and_be_interrupted(Settings())


def test_it_is_told_as_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.told_as_such():
        _wait_and_be_interrupted(Settings())


def test_a_command_ends_as_one_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = click.command(click.pass_obj(_wait_and_be_interrupted))
    monkeypatch.setitem(cli.COMMANDS, "waiting", (__name__, "", ""))
    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: command)
    with pytest.raises(SystemExit) as ended:
        cli.main(["waiting"])
    assert ended.value.code == 252
    assert capsys.readouterr().err == "interrupted\n"


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), interrupts.told_as_such():
        raise ValueError("mine")
