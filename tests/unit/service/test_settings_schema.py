"""The schema that editors read takes what the parser takes, and refuses what it refuses."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.settings import STAGE_SETTINGS, parse_settings_file, parse_stage_settings

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "settings" / "wherry.toml.schema.json").read_text(encoding="utf-8")
)
STAGE = Draft202012Validator({"$ref": "#/$defs/stage", "$defs": SCHEMA["$defs"]})

# For each setting what may be written, then what may not.
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "image": (["python:3.11"], ["", " ", 1, True]),
    "pull": (["always", "missing", "never"], ["often", True]),
    "build": (
        ["Dockerfile", {"context": "env"}, {"dockerfile": "a/b", "args": {"A": 1}}],
        ["/etc/Dockerfile", "../Dockerfile", 1, {"file": "x"}, {"args": ["a"]}, {"args": {"1": "x"}}],
    ),
    "requirements": (["requirements.txt", ["a.txt", "b.txt"], []], ["/a.txt", "../a.txt", 1, [1]]),
    "cpus": ([1, 0.5, "2"], [0, "many", True, -1]),
    "memory": (["512m", "4g", "4GiB", 10_000_000], ["lots", 5, True, "4x"]),
    "gpus": ([0, 2, "all"], [-1, "some", 1.5, True]),
    "shm_size": (["64m"], ["x"]),
    "pids": ([100], [0, "x", 1.5]),
    "timeout": ([90, "30m", "2h", 0.5], [0, "soon", True]),
    "retries": ([0, 3], [-1, 101, "x"]),
    "mutex": (["gpu", ["a", "b"], []], ["a b", [1], ""]),
    "network": ([True, False, "allow", "deny"], ["maybe", 1.5]),
    "env": ([{}, {"A": "x", "B": 1}], [["A"], {"1A": "x"}, {"A": True}, {"A": ["x"]}]),
    "secrets": (["TOKEN", ["A", "B"]], ["a/b", 1]),
    "shell": (["bash", "sh"], ["zsh"]),
    "undeclared": (["warn", "error", "ignore"], ["shout"]),
}


def _takes(settings: dict[str, Any]) -> bool:
    try:
        parse_stage_settings(settings, Place(path="x"))
    except PipelineInvalid:
        return False
    return True


def test_every_setting_is_in_the_schema() -> None:
    assert tuple(SCHEMA["$defs"]["stage"]["properties"]) == STAGE_SETTINGS == tuple(VALUES)
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", VALUES)
def test_schema_and_parser_agree(name: str) -> None:
    good, bad = VALUES[name]
    for value, right in [*((value, True) for value in good), *((value, False) for value in bad)]:
        assert STAGE.is_valid({name: value}) is right, (name, value)
        assert _takes({name: value}) is right, (name, value)


def test_what_does_not_go_together_is_refused_by_both() -> None:
    for settings in ({"image": "a", "build": "b"}, {"imgae": "a"}):
        assert not STAGE.is_valid(settings)
        assert not _takes(settings)


def test_a_whole_file_is_valid() -> None:
    text = (
        'server = "grpc://x:1"\nproject = "p"\n[defaults]\nimage = "a"\ntimeout = "2h"\nenv = { A = "1" }\n'
        "[run_cache]\ntrust_dvc = true\n"
    )
    assert Draft202012Validator(SCHEMA).is_valid(tomllib.loads(text))
    assert parse_settings_file(text.encode()).trust_dvc
    wrong = "[run_cache]\ntrust_dvc = 1\n"
    assert not Draft202012Validator(SCHEMA).is_valid(tomllib.loads(wrong))
