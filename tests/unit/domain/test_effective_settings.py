"""What counts for a stage, and who says so."""

import pytest

from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.effective_settings import effective_settings
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.settings import parse_settings_file, parse_stage_settings

_TOML = b"""\
project = "p"
[defaults]
image = "python:3.11"
  memory = "2g"
timeout = 5400
env = { A = "x", B = "y" }
"""

_YAML = b"""\
stages:
  train:
    cmd: x
    meta:
      wherry:
        memory: 512m
        gpus: all
        network: false
        requirements: [a.txt, b.txt]
        env: {B: z, SECRET: do-not-tell}
"""


def test_the_strongest_counts_and_each_has_its_place() -> None:
    [stage] = parse_pipeline_file(_YAML, ProjectPath("dvc.yaml"), load=lambda _: None)
    project = parse_settings_file(_TOML).defaults
    flags = parse_stage_settings({"cpus": "2"}, Place(path="the command line"))
    own = parse_stage_settings(stage.settings, stage.place, stage.settings_places)

    found = effective_settings(flags.over(own.over(project)), {"image": "other", "pull": "always"})

    assert [(setting.name, setting.value, setting.origin.split(":")[0:2]) for setting in found] == [
        ("image", "python:3.11", [".dvc/wherry.toml", "3"]),
        ("pull", "always", ["server default"]),
        ("requirements", "a.txt, b.txt", ["dvc.yaml", "9"]),
        ("cpus", "2", ["the command line"]),
        ("memory", "512m", ["dvc.yaml", "6"]),
        ("gpus", "all", ["dvc.yaml", "7"]),
        ("timeout", "90m", [".dvc/wherry.toml", "5"]),
        ("network", "deny", ["dvc.yaml", "8"]),
        # What is in a variable is told nobody.
        ("env", "A, B, SECRET", ["dvc.yaml", "10"]),
    ]


def test_a_dockerfile_is_told_in_place_of_the_servers_image() -> None:
    settings = parse_stage_settings({"build": {"context": "env", "args": {"X": "1"}}}, Place(path="f"))
    [build] = effective_settings(settings, {"image": "other"})
    assert (build.name, build.value) == ("build", "env/Dockerfile, context env, args X")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[defaults]\nimage = "a"\n  memory = "lots"\n', ".dvc/wherry.toml:3:3"),
        ("[defaults]\nimage = 3\n", ".dvc/wherry.toml:2:1"),
        ('[defaults]\nbuild = "a"\nimage = "b"\n', ".dvc/wherry.toml:2:1"),
        ("[defaults]\nnone = 1\n", ".dvc/wherry.toml:2:1"),
        ("[defaults.env]\n1 = 2\n", ".dvc/wherry.toml:1:1"),
        ("[run_cache]\n\ntrust_dvc = 1\n", ".dvc/wherry.toml:3:1"),
        ("[defaults]\nimage = \n", ".dvc/wherry.toml:2:9"),
    ],
)
def test_a_mistake_has_line_and_column(text: str, place: str) -> None:
    with pytest.raises(PipelineInvalid) as error:
        parse_settings_file(text.encode())
    assert str(error.value.place) == place


def test_a_mistake_in_dvc_yaml_has_line_and_column() -> None:
    text = _YAML.replace(b"gpus: all", b"gpus: few")
    [stage] = parse_pipeline_file(text, ProjectPath("dvc.yaml"), load=lambda _: None)
    with pytest.raises(PipelineInvalid) as error:
        parse_stage_settings(stage.settings, stage.place, stage.settings_places)
    assert str(error.value.place) == "dvc.yaml:7:9"
