"""A dvc.lock that DVC refuses is refused, and one that it takes is taken, even where nothing of it is used."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conformance.dvc_process import DvcProcess, DvcRefused, dvc_process
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath

_STAGES: Mapping[str, str] = {
    "path without a hash": "outs: [{path: x}]",
    "empty hash": "outs: [{path: x, hash: md5, md5: ''}]",
    "no hash kind": "deps: [{path: a, md5: 0123456789abcdef0123456789abcdef, size: 1}]",
    "number as a path": "outs: [{path: 1e3}]",
    "number as a path of DVC 2": "outs: [{path: 1, md5: 0123456789abcdef0123456789abcdef}]",
    "short hash": "deps: [{path: a, md5: '1'}]",
    "list as a hash": "deps: [{path: a, md5: [abc]}]",
    "text as a count": "deps: [{path: a, nfiles: x}]",
    "text as a flag": "deps: [{path: a, isexec: 'yes'}]",
    "no path": "deps: [{md5: 0123456789abcdef0123456789abcdef}]",
    "number as a params file": "params: {1: {}}",
    "number as a parameter": "params: {p: {1: a}}",
    "params of nothing": "params:",
    "values of every kind": "params: {p: {a: 0x1F, b: 1e-5, c: [1,  2], d: {e: }}}",
    "unknown key": "wdir: .",
    "deps null": "deps:",
    "number as a command": "cmd: 1",
}
_FILES: Mapping[str, str] = {
    "empty": "",
    "no stages": "schema: '2.0'\n",
    "number as a schema": "schema: 2.0\nstages: {}\n",
    "no schema": "stages: {}\n",
    "DVC 1": "a: {cmd: x}\n",
    "stages null": "schema: '2.0'\nstages:\n",
    "list": "- a\n",
    "syntax": "schema: '2.0'\nstages: {a: [\n",
    **{
        name: f"schema: '2.0'\nstages:\n  gone:\n    {'' if 'cmd:' in text else 'cmd: x'}\n    {text}\n"
        for name, text in _STAGES.items()
    },
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DvcProcess]:
    with dvc_process(tmp_path_factory.mktemp("dvc")) as started:
        yield started


@pytest.mark.parametrize("case", _FILES)
def test_a_lock_is_refused_where_dvc_refuses_it(case: str, process: DvcProcess, tmp_path: Path) -> None:
    process.ask("init", tmp_path, added=[])
    (tmp_path / "dvc.yaml").write_text("stages:\n  a: {cmd: x}\n", encoding="utf-8")
    (tmp_path / "dvc.lock").write_text(_FILES[case], encoding="utf-8")
    try:
        process.ask("load", tmp_path)
        taken = True
    except DvcRefused:
        taken = False
    if taken:
        parse_lock(_FILES[case].encode(), ProjectPath("dvc.lock"))
    else:
        with pytest.raises(PipelineInvalid) as caught:
            parse_lock(_FILES[case].encode(), ProjectPath("dvc.lock"))
        assert caught.value.place is not None
        assert caught.value.place.line > 0
