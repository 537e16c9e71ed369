"""Hydra in its own process: what strangers submit gets at nothing but what they submitted."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.domain.errors import InvalidInput


def _compose(files: Mapping[str, str], *overrides: str, name: str = "config", wall_s: float = 60.0) -> str:
    composer = HydraParamComposer(at_once=1, wall_s=wall_s)
    encoded = {path: text.encode() for path, text in files.items()}
    return asyncio.run(composer.compose(encoded, name, overrides)).decode()


def _config(text: str) -> Mapping[str, str]:
    return {"config.yaml": text}


def test_a_configuration_is_composed_and_resolved() -> None:
    files = {
        "config.yaml": "defaults: [db: a, _self_]\nport: ${db.x}\n",
        "db/a.yaml": "x: 1\n",
        "db/b.yaml": "x: 2\n",
    }
    assert _compose(files, "db=b", "+new=int(3.9)") == "db:\n  x: 2\nport: 2\nnew: 3\n"


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("a: ${oc.env:PATH}\n", (), "oc.env"),
        ("a: ${oc.env:NOT_THERE,default}\n", (), "oc.env"),
        ("a: ${oc.decode:'${oc.env:PATH}'}\n", (), "oc.env"),
        ("defaults: [db: '${oc.env:PATH}']\n", (), "oc.env|PATH|not"),
        ("a: 1\n", ("a=${oc.env:PATH}",), "oc.env"),
        ("a: ${now:%Y}\n", (), "now"),
        ("a: ${python_version:micro}\n", (), "python_version"),
        ("a: ${hydra:runtime.cwd}\n", (), "hydra"),
        ("hydra: {searchpath: ['file:///etc']}\n", (), "searchpath"),
        ("hydra: {searchpath: ['pkg://wherry.service']}\n", (), "searchpath"),
        ("a: 1\n", ("hydra.searchpath=[file:///etc]",), "searchpath"),
        ("a: 1\n", ("+hydra.searchpath=[pkg://os]",), "searchpath"),
        ("defaults: [../../../../etc/hosts]\n", (), "hosts"),
        ("defaults: [/etc/hosts]\n", (), "hosts"),
        ("hydra: {job: {env_copy: [PATH]}}\n", (), "PATH"),
        ("a: !!python/object/apply:os.getcwd []\n", (), "python/object"),
        ("a: ${b}\nb: ${a}\n", (), "Recursi|recursi|InterpolationResolution|Hydra"),
        ("a: 1\n", ("a=1,2",), "Ambiguous"),
        ("a: [\n", (), "flow|parse|Hydra"),
    ],
)
def test_what_would_leave_the_configuration_is_refused_by_name(
    text: str, overrides: Sequence[str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        _compose(_config(text), *overrides)


def test_a_choice_cannot_lead_out_of_the_configuration() -> None:
    files = {"config.yaml": "defaults: [db: a]\n", "db/a.yaml": "x: 1\n"}
    with pytest.raises(InvalidInput, match="hosts"):
        _compose(files, "db=../../../../../etc/hosts")


def test_a_configuration_elsewhere_in_the_configuration_cannot_name_a_search_path() -> None:
    files = {
        "config.yaml": "defaults: [x]\n",
        "x.yaml": "# @package _global_\nhydra: {searchpath: ['file:///etc']}\n",
    }
    with pytest.raises(InvalidInput, match="searchpath"):
        _compose(files)


def test_what_multiplies_without_end_ends_in_a_refusal() -> None:
    doubling = "a0: '0123456789'\n" + "".join(f"a{n}: ${{a{n - 1}}}${{a{n - 1}}}\n" for n in range(1, 40))
    with pytest.raises(InvalidInput, match=r"limits|bytes"):
        _compose(_config(doubling))


def test_what_takes_too_long_is_stopped() -> None:
    with pytest.raises(InvalidInput, match="limits"):
        _compose(_config("a: 1\n"), wall_s=0.01)


def test_the_worker_sees_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_SECRET", "s3cr3t")
    with pytest.raises(InvalidInput) as caught:
        _compose(_config("hydra: {job: {env_copy: [WHERRY_SECRET]}}\na: 1\n"))
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "act",
    [
        "open('/etc/hostname')",
        "open('/tmp/x', 'w')",
        "import os; os.system('true')",
        "import os, json; os.open(json.__file__, os.O_WRONLY)",
        "import json; open(json.__file__, 'a')",
        "import subprocess; subprocess.Popen(['true'])",
        "import socket; socket.socket()",
        "import os; os.listdir('/etc')",
        "import os; os.remove('/nowhere')",
        "import boto3",
        "import ctypes; ctypes.CDLL(None)",
    ],
)
def test_below_the_library_the_worker_can_do_nothing_else(act: str) -> None:
    script = (
        "from wherry.service.adapters import hydra_worker as w, hydra_requests as r; "
        f"w.limit(); r.prepare(); w.confine(); {act}"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, env={}, cwd=os.sep
    )
    assert done.returncode == 1
    assert "PermissionError" in done.stderr


def _expand(*set_params: str) -> list[tuple[str, ...]]:
    return asyncio.run(HydraParamComposer(at_once=1).expand(set_params))


def test_nothing_swept_is_given_back_as_it_was() -> None:
    assert _expand("lr=1.50", "~x", "p.toml:+a=[1, 2]") == [("lr=1.50", "~x", "p.toml:+a=[1, 2]")]


def test_a_deletion_beside_a_sweep_stays_one() -> None:
    assert _expand("a=1,2", "~x", "~y=3") == [("a=1", "~x", "~y=3"), ("a=2", "~x", "~y=3")]


def test_a_shuffle_is_the_same_each_time_the_same_is_asked() -> None:
    first = _expand("a=shuffle(range(0,20))")
    assert first == _expand("a=shuffle(range(0,20))")
    assert sorted(first) == sorted(_expand("a=range(0,20)"))


@pytest.mark.parametrize(
    ("set_params", "message"),
    [
        (("a=glob(*)",), "glob"),
        (("a=interval(0,1)",), "which values"),
        (("a=range(0,100000000000)",), "more than 1000 runs"),
        (("a=range(0,100)", "b=range(0,100)"), "more than 1000 runs"),
        (("a=choice(1",), "cannot be read"),
    ],
)
def test_a_sweep_that_cannot_be_made_is_refused(set_params: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _expand(*set_params)
