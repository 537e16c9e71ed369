"""Stage settings."""

import pytest

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.settings import (
    ALL_GPUS,
    BuildSettings,
    ProjectSettings,
    StageSettings,
    Undeclared,
    parse_settings_file,
    parse_stage_settings,
)

PLACE = Place(path="dvc.yaml", line=7)


def test_a_stage_wins_over_the_project_key_by_key() -> None:
    project = parse_settings_file(b'[defaults]\nimage = "base"\nnetwork = false\nenv = {A = "1", B = 2}\n')
    stage = parse_stage_settings({"image": "mine", "env": {"B": "own"}}, PLACE)

    assert stage.over(project.defaults) == StageSettings(
        image="mine", network=False, env={"A": "1", "B": "own"}
    )


def test_every_setting_is_read() -> None:
    settings = parse_stage_settings(
        {
            "requirements": ["requirements.txt", "./dev/more.txt"],
            "cpus": 2,
            "memory": "1.5g",
            "gpus": "all",
            "shm_size": "64MiB",
            "pids": 100,
            "timeout": "30m",
            "retries": 2,
            "mutex": "database",
            "network": "deny",
            "secrets": ["TOKEN", "KEY", "TOKEN"],
            "shell": "bash",
            "undeclared": "error",
        },
        PLACE,
    )

    assert settings == StageSettings(
        requirements=(ProjectPath("requirements.txt"), ProjectPath("dev/more.txt")),
        cpus=2,
        memory_bytes=3 * 512 * 1024**2,
        gpus=ALL_GPUS,
        shm_bytes=64 * 1024**2,
        pids=100,
        timeout_s=1800,
        retries=2,
        mutex=("database",),
        network=False,
        secrets=("TOKEN", "KEY"),
        shell="bash",
        undeclared=Undeclared.ERROR,
    )


def test_a_dockerfile_is_beside_its_context_unless_it_is_said_where() -> None:
    named = parse_stage_settings({"build": {"context": "env", "args": {"CUDA": 12}}}, PLACE).build
    alone = parse_stage_settings({"build": "docker/train.Dockerfile"}, PLACE).build

    assert named == BuildSettings(
        dockerfile=ProjectPath("env/Dockerfile"), context=ProjectPath("env"), args={"CUDA": "12"}
    )
    assert alone == BuildSettings(dockerfile=ProjectPath("docker/train.Dockerfile"))


def test_an_image_stands_against_a_dockerfile_of_a_weaker_level() -> None:
    image = StageSettings(image="mine")
    build = StageSettings(build=BuildSettings(dockerfile=ProjectPath("Dockerfile")))

    assert image.over(build) == image
    assert build.over(image) == build


def test_the_clients_part_of_the_file_is_left_alone() -> None:
    assert parse_settings_file(b'project = "churn"\n[upload]\nmax_file = "50M"\n') == ProjectSettings()


def test_dvc_is_trusted_only_where_the_project_says_so() -> None:
    assert parse_settings_file(b"").trust_dvc is False
    assert parse_settings_file(b"[run_cache]\n").trust_dvc is False
    assert parse_settings_file(b"[run_cache]\ntrust_dvc = true\n").trust_dvc is True


@pytest.mark.parametrize(
    "text", ['[run_cache]\ntrust_dvc = "yes"\n', "[run_cache]\ntrust = true\n", "run_cache = true\n"]
)
def test_a_run_cache_table_that_says_something_else_is_refused(text: str) -> None:
    with pytest.raises(PipelineInvalid, match=r"trust|run_cache"):
        parse_settings_file(text.encode())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"imgae": "x"}, "Did you mean 'image'?"),
        ({"cpus": "many"}, ""),
        ({"cpus": 0}, ""),
        ({"cpus": True}, ""),
        ({"cpus": "nan"}, ""),
        ({"memory": "4 elephants"}, ""),
        ({"memory": "1k"}, ""),
        ({"gpus": 1.5}, ""),
        ({"gpus": -1}, ""),
        ({"timeout": "soon"}, ""),
        ({"timeout": 0}, ""),
        ({"retries": -1}, ""),
        ({"mutex": "two words"}, ""),
        ({"secrets": {"TOKEN": "x"}}, ""),
        ({"shell": "fish"}, ""),
        ({"undeclared": "maybe"}, ""),
        ({"requirements": "../requirements.txt"}, ""),
        ({"build": {"file": "Dockerfile"}}, "dockerfile, context, args"),
        ({"build": {"context": "/etc"}}, ""),
        ({"image": "a", "build": "Dockerfile"}, "Remove one"),
        ({"image": ""}, ""),
        ({"image": 3}, ""),
        ({"network": "sometimes"}, ""),
        ({"env": ["A=1"]}, ""),
        ({"env": {"A B": "1"}}, ""),
        ({"env": {"A": True}}, ""),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(value: dict[str, object], says: str) -> None:
    with pytest.raises(PipelineInvalid) as refused:
        parse_stage_settings(value, PLACE)

    assert refused.value.place == PLACE
    assert says in refused.value.hint


@pytest.mark.parametrize("text", [b"[defaults", b"\xff", b"defaults = 1\n"])
def test_a_broken_settings_file_is_refused(text: bytes) -> None:
    with pytest.raises(PipelineInvalid):
        parse_settings_file(text)


@pytest.mark.parametrize("key", ["server", "project"])
def test_what_belongs_to_the_top_of_the_file_is_sent_there(key: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_settings_file(f'[defaults]\n{key} = "x"\n'.encode())
    assert caught.value.hint == f"{key!r} stands at the top of .dvc/wherry.toml, before [defaults]."
