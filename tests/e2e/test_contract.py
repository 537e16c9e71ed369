"""The contract of the command line, command by command: exit codes, and documents that fit their schemas.

The commands are called in this process, with stdout and stderr caught: what is asked is what they say, and a
process for each would be most of the time.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.e2e.harness import REPOSITORY, Project, Service, new_project
from tests.unit.client.test_examples import LEAVES
from wherry.client import cli

SCHEMAS = {
    json.loads(file.read_text())["title"]: json.loads(file.read_text())
    for file in (REPOSITORY / "docs" / "schemas").glob("*.json")
}

_FILES = {
    "dvc.yaml": """
stages:
  prepare:
    cmd: cat source > data
    deps: [source]
    params: [lr]
    outs: [data]
  train:
    cmd: 'echo "{\\"accuracy\\": 0.9}" > metrics.json'
    deps: [data]
    metrics: [metrics.json: {cache: false}]
  bad:
    cmd: echo broken >&2; exit 3
    deps: [source]
    outs: [never]
  slow:
    cmd: sleep 600
    deps: [source]
    outs: [late]
""",
    "source": "a\n",
    "params.yaml": "lr: 1\nother: 1\n",
}


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str


@contextlib.contextmanager
def piped(content: bytes) -> Iterator[None]:
    """Have this on stdin."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        yield


@dataclass(frozen=True, slots=True)
class Scene:
    """Runs that the cases name: 1 has succeeded, 2 has failed, 3 is going on."""

    project: Project
    keys: tuple[str, ...]
    address: str
    token: str

    def call(self, *arguments: str) -> Said:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with (
            piped(b"a value\n"),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            cli.main(list(arguments))
        assert isinstance(left.value.code, int)
        out.seek(0)
        err.seek(0)
        return Said(left.value.code, out.read(), err.read())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("contract")
    service = Service(folder / "home")
    service.wherry("up", cwd=folder).expect(0)
    project = new_project(folder / "project", service, _FILES)
    (folder / "broken" / ".dvc").mkdir(parents=True)
    (folder / "broken" / "dvc.yaml").write_text("stages: {a: {cmd: x, nonsense: 1}}\n")
    own = {**service.environment(), "XDG_CONFIG_HOME": str(folder / "config"), "NO_COLOR": "1"}
    before, here = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(own)
    os.chdir(project.root)
    try:
        project.repro("train")
        project.wherry("repro", "bad").expect(1)
        project.wherry("repro", "-d", "slow").expect(0)
        listed = project.wherry("cache", "ls", "--json").expect(0).json()["results"]
        yield Scene(
            project,
            keys=tuple(result["key"] for result in listed),
            address=json.loads((service.home / "service.json").read_text())["address"],
            token=(service.home / "token").read_text().strip(),
        )
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
        stopped = service.wherry("down", "--json", cwd=folder).expect(0).json()
        Draft202012Validator(SCHEMAS["wherry.service/1"]).validate(stopped)
        assert (stopped["pid"], stopped["healthy"]) == (None, False)


# Arguments, exit code, and the schema of what stands on stdout: "" is no document, "dvc" one of DVC's own.
# KEY and OTHER are results, SERVER and TOKEN those of the service; ELSEWHERE is no project, BROKEN one that is not valid.
CASES: tuple[tuple[str, int, str], ...] = (
    ("init --json", 255, "wherry.error/1"),
    ("init --dry --json", 0, "wherry.init/1"),
    ("up", 0, ""),
    ("up --json", 0, "wherry.service/1"),
    ("service status --json", 0, "wherry.service/1"),
    ("service logs", 0, ""),
    ("repro train --json", 0, "wherry.run/1"),
    ("repro bad --json", 1, "wherry.run/1"),
    ("repro nowhere --json", 5, "wherry.error/1"),
    ("repro train --dry --json", 0, "wherry.plan/1"),
    ("repro train --rev HEAD --json", 0, "wherry.run/1"),
    ("repro train --rev nowhere --json", 5, "wherry.error/1"),
    ("repro --json -C ELSEWHERE", 253, "wherry.error/1"),
    ("repro --json -C BROKEN", 6, "wherry.error/1"),
    ("repro --json --jobs 0", 254, "wherry.error/1"),
    ("exp run train -S other=1,2 --json", 0, "wherry.sweep/1"),
    ("exp run train -S other=2 --json", 0, "wherry.run/1"),
    ("exp branch 1 made --json", 0, "wherry.branch/1"),
    ("status --json", 0, "wherry.plan/1"),
    ("status train -q", 0, ""),
    ("status bad -q", 1, ""),
    ("status --dvc --json", 0, "dvc"),
    ("why train --json", 0, "wherry.why/1"),
    ("why nowhere --json", 5, "wherry.error/1"),
    ("dag --json", 0, "wherry.dag/1"),
    ("dag", 0, ""),
    ("lint --json", 0, "wherry.lint/1"),
    ("lint --json -C BROKEN", 6, "wherry.lint/1"),
    ("stage add -n prepare -o x true", 6, ""),
    ("stage add -n prepare -o x --json true", 6, "wherry.error/1"),
    ("ps --json", 0, "wherry.runs/1"),
    ("ps --json --server grpc://127.0.0.1:1", 69, "wherry.error/1"),
    ("ps --json --server http://127.0.0.1:1", 251, "wherry.error/1"),
    ("ps --json --profile nobody", 5, "wherry.error/1"),
    ("show 1 --json", 0, "wherry.run/1"),
    ("show 99 --json", 5, "wherry.error/1"),
    ("logs 1 train --json", 0, "wherry.log-line/1"),
    ("logs 1 nowhere", 5, ""),
    ("open 1 --json", 0, "wherry.page/1"),
    ("open 2 -o page.html", 0, ""),
    ("open 99", 5, ""),
    ("open 1 -o no/such/page.html", 255, ""),
    ("attach 1 --json", 0, "wherry.run/1"),
    ("attach 2 --json", 1, "wherry.run/1"),
    ("attach 3 --timeout 0 --json", 4, "wherry.error/1"),
    ("wait 3 --timeout 0 --json", 4, "wherry.error/1"),
    ("stop 3 --json", 0, "wherry.runs/1"),
    ("wait 3 --json", 3, "wherry.runs/1"),
    ("wait 1 2 --json", 1, "wherry.runs/1"),
    ("retry 1 --json", 0, "wherry.run/1"),
    ("retry 1 --from nowhere --json", 5, "wherry.error/1"),
    ("apply 1 --json", 0, "wherry.placed/1"),
    ("apply 99", 5, ""),
    ("pull 1 --json", 0, "wherry.placed/1"),
    ("pull 1 nowhere", 6, ""),
    ("dvc-remote --json", 0, "dvc"),
    ("cache ls --json", 0, "wherry.results/1"),
    ("cache show KEY --json", 0, "wherry.result/1"),
    ("cache show 000000 --json", 5, "wherry.error/1"),
    ("cache diff KEY OTHER --json", 0, "wherry.result-diff/1"),
    ("cache stats --json", 0, "wherry.cache-stats/1"),
    ("cache pin KEY --json", 0, "wherry.results/1"),
    ("cache fsck --json", 0, "wherry.fsck/1"),
    ("cache rm OTHER", 255, ""),
    ("cache rm OTHER -y --json", 0, "wherry.forgotten/1"),
    ("cache gc --dry --json", 0, "wherry.gc/1"),
    ("cache gc --unused soon --json", 254, "wherry.error/1"),
    ("doctor --json", 0, "wherry.doctor/1"),
    ("whoami --json", 0, "wherry.whoami/1"),
    ("login grpc://127.0.0.1:1 --token x", 69, ""),
    ("login SERVER --token TOKEN --json", 0, "wherry.profiles/1"),
    ("profile ls --json", 0, "wherry.profiles/1"),
    ("profile use --none --json", 0, "wherry.profiles/1"),
    ("profile use default --json", 0, "wherry.profiles/1"),
    ("logout --json", 0, "wherry.profiles/1"),
    ("login SERVER --token TOKEN --name other", 0, ""),
    ("profile rm other --json", 0, "wherry.profiles/1"),
    ("token create a --json", 0, "wherry.token/1"),
    ("token create a --json", 255, "wherry.error/1"),
    ("token create b --expires soon --json", 254, "wherry.error/1"),
    ("token ls --json", 0, "wherry.tokens/1"),
    ("token rm a --json", 0, "wherry.tokens/1"),
    ("token rm a --json", 5, "wherry.error/1"),
    ("secret set TOLD --json", 0, "wherry.secrets/1"),
    ("secret ls --json", 0, "wherry.secrets/1"),
    ("secret rm TOLD --json", 0, "wherry.secrets/1"),
    ("secret rm TOLD --json", 5, "wherry.error/1"),
    ("profile use nobody", 5, ""),
    ("profile rm nobody", 5, ""),
    ("logout", 255, ""),
    ("config --json", 0, "wherry.config/1"),
    ("config server", 5, ""),
    ("config nonsense", 254, ""),
    ("config --local server SERVER --json", 0, "wherry.config/1"),
    ("config --local -u server --json", 0, "wherry.config/1"),
    ("ci report 1", 0, ""),
    ("ci report 1 --json", 0, "wherry.report/1"),
    ("ci report 2 --exit-code", 1, ""),
    ("completion bash", 0, ""),
    ("completion tcsh", 254, ""),
    ("version --json", 0, "wherry.version/1"),
    ("nonsense", 254, ""),
    ("stage add -n late -o x --json true", 0, "wherry.stage-added/1"),
)


@pytest.mark.parametrize(("line", "code", "schema"), CASES, ids=[case[0] for case in CASES])
def test_exit_codes_and_documents_are_those_of_the_contract(
    scene: Scene, line: str, code: int, schema: str
) -> None:
    folder = scene.project.root.parent
    words = {
        "KEY": scene.keys[0],
        "OTHER": scene.keys[1],
        "ELSEWHERE": str(folder),
        "BROKEN": str(folder / "broken"),
        "SERVER": scene.address,
        "TOKEN": scene.token,
    }
    said = scene.call(*(words.get(word, word) for word in line.split()))
    assert said.code == code, f"exit {said.code}\n--- stdout\n{said.out}\n--- stderr\n{said.err}"
    assert "Traceback" not in said.err
    if not schema:
        return
    # Output of stages is a document a line.
    document: Any = json.loads(said.out.splitlines()[0] if schema == "wherry.log-line/1" else said.out)
    if schema != "dvc":
        assert document["schema"] == schema
        Draft202012Validator(SCHEMAS[schema], format_checker=FormatChecker()).validate(document)
    if code and schema == "wherry.error/1":
        # What a program reads, a person is told too.
        assert document["error"]["message"] in said.err


def test_a_wrong_token_is_not_allowed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_TOKEN", "wrong")
    said = scene.call("ps", "--json")
    assert said.code == 77
    assert json.loads(said.out)["schema"] == "wherry.error/1"


def test_every_command_has_a_case() -> None:
    # DVC's own shapes have tests against DVC; the service in the foreground has tests of its own.
    elsewhere = {"down", "exp", "metrics", "params", "plots", "server"}
    called = {line for line, _, _ in CASES}
    missing = [
        " ".join(path)
        for path in LEAVES
        if path[0] not in elsewhere
        and not any(f"{line} ".startswith(" ".join(path) + " ") for line in called)
    ]
    assert not missing


def test_every_schema_is_one_and_is_used() -> None:
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
    assert set(SCHEMAS) == {schema for _, _, schema in CASES if schema.startswith("wherry.")} | {
        "wherry.init/1"
    }


def test_what_gc_deletes_is_computed_again_and_a_pin_keeps_the_rest(scene: Scene) -> None:
    key = scene.keys[0]
    assert scene.call("cache", "pin", key[:8]).code == 0
    gone = scene.call("cache", "gc", "--unused", "0h", "-y", "--json")
    assert gone.code == 0, gone.err
    left = json.loads(scene.call("cache", "ls", "--json").out)["results"]
    assert [(result["key"], result["pinned"], result["held"]) for result in left] == [(key, True, True)]
    whole = json.loads(scene.call("cache", "fsck", "--full", "--json").out)
    assert (whole["faults"], scene.call("repro", "train", "--json").code) == ([], 0)
