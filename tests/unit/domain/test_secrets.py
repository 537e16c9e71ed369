import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.secrets import SecretMask, check_secret_name, check_secret_value
from wherry.service.domain.shell import SECRETS_AT, secrets_script, shell_argv

TOKEN = b"hunter2-hunter2"


def masked(values: list[bytes], text: bytes, cuts: list[int]) -> bytes:
    mask = SecretMask(values)
    ends = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return b"".join(mask.feed(text[begin:end]) for begin, end in pairwise(ends)) + mask.finish()


@given(cuts=st.lists(st.integers(0, 1000)))
def test_a_secret_is_masked_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    text = b"a " + TOKEN + b" hunter" + TOKEN * 2 + b"\nhunter2-hunt\n" + TOKEN
    assert masked([TOKEN], text, cuts) == b"a *** hunter******\nhunter2-hunt\n***"


@given(
    values=st.lists(st.text("ab", min_size=4, max_size=12).map(str.encode), min_size=1, max_size=4),
    text=st.text("abc\n", max_size=80).map(str.encode),
    cuts=st.lists(st.integers(0, 1000)),
)
def test_cuts_change_nothing_and_no_secret_stays(values: list[bytes], text: bytes, cuts: list[int]) -> None:
    whole = masked(values, text, [])
    assert masked(values, text, cuts) == whole
    assert not any(value in whole for value in values)


def test_each_line_of_a_secret_is_masked_and_the_longer_of_two_goes_first() -> None:
    key = b"-----BEGIN KEY-----\nMIIabcdef\n\nxy\n-----END KEY-----\n"
    assert masked([key, b"MIIa"], b"MIIabcdef MIIa xy -----END KEY-----", [3]) == b"*** *** xy ***"
    assert masked([], TOKEN, [3]) == TOKEN


def test_output_that_cannot_become_a_secret_is_handed_on_at_once() -> None:
    mask = SecretMask([TOKEN])
    assert mask.feed(b"epoch 1\n") == b"epoch 1\n"
    assert mask.feed(b"epoch 2 h") == b"epoch 2 "
    assert mask.feed(b"i") == b"hi"


@pytest.mark.parametrize(
    "name", ["", "1x", "a b", "a-b", "a=b", "x" * 129, "é", "LD_PRELOAD", "PATH", "HOME", "DVC_ROOT", "A\n"]
)
def test_a_name_that_is_no_variable_or_has_a_meaning_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_secret_name(name)


@pytest.mark.parametrize("value", [b"", b"abc", b"with\0nul", b"x" * (64 * 1024 + 1)])
def test_a_value_that_cannot_be_given_or_hidden_is_refused_without_being_shown(value: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_secret_value(value)
    assert "nul" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [TOKEN, b'it\'s "$(x)" `y` \\ !', b"two\nlines\n\n", b"\xff\xfe bytes", "schlüssel".encode()]
)
def test_the_stage_gets_the_variable_byte_for_byte_and_nothing_else_is_left(
    value: bytes, tmp_path: Path
) -> None:
    show = f"{sys.executable} -c 'import os, sys; sys.stdout.buffer.write(os.environb[b\"NAME\"])'"
    argv = [
        part.replace(SECRETS_AT, str(tmp_path))
        for part in shell_argv([show, "wc -c; set | grep -c ^secrets="], takes_secrets=True)
    ]
    script = secrets_script({"NAME": value}).replace(SECRETS_AT.encode(), str(tmp_path).encode())
    done = subprocess.run(argv, input=script, capture_output=True, check=False)
    assert done.stdout == value + b"0\n0\n"
    assert (tmp_path / "NAME").read_bytes() == value
    assert (tmp_path / "NAME").stat().st_mode & 0o777 == 0o400


def test_nothing_runs_when_the_secrets_did_not_all_come() -> None:
    whole = secrets_script({"A": b"value one", "B": b"value two"})
    argv = shell_argv(["echo ran"], takes_secrets=True)
    for cut in (0, 10, len(whole) - 1):
        done = subprocess.run(argv, input=whole[:cut], capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (125, b"")
    assert secrets_script({}) == b""
