"""What the client may load, and when."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import wherry.client
from wherry.client.cli import COMMANDS, LazyGroup
from wherry.client.cli import wherry as program

CLIENT = Path(wherry.client.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[3]
FORBIDDEN = {"boto3", "botocore", "docker", "yaml", "ruamel", "sqlalchemy", "pydantic", "dvc"}
SLOW = {"grpc", "rich", "pathspec", "google", "sqlite3", "importlib.metadata"}


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_no_module_of_the_client_loads_the_service_or_its_libraries() -> None:
    names = [
        ".".join(("wherry", "client", *file.relative_to(CLIENT).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for file in CLIENT.rglob("*.py")
    ]
    loaded = modules_after("\n".join(f"import {name}" for name in names))
    assert "wherry.client.cli.repro" in loaded
    assert not {name for name in loaded if name.split(".")[0] in FORBIDDEN}
    assert not {name for name in loaded if name.startswith("wherry.service")}


def test_help_loads_nothing_slow() -> None:
    loaded = modules_after(
        "import wherry.client.cli as cli\ntry:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass"
    )
    assert not {name for name in loaded if name in SLOW or name.split(".")[0] in SLOW}
    assert "wherry.client.cli.repro" not in loaded


_LOAD = "from wherry.client.cli import wherry; wherry.get_command(None, 'repro')"
_CALL = """
import asyncio.subprocess
import grpc
async def call():
    async with grpc.aio.insecure_channel("unix:/nowhere") as channel:
        try:
            await channel.unary_unary("/a/b")(b"")
        except grpc.aio.AioRpcError as error:
            return error.code()
assert asyncio.run(call()) == grpc.StatusCode.UNAVAILABLE
"""


def test_a_command_does_not_load_what_it_does_not_use() -> None:
    loaded = modules_after(_LOAD)
    assert "grpc" in loaded
    assert not {"grpc.aio._channel", "asyncio", "http.client", "configparser"} & loaded


def test_what_was_put_off_is_there_when_it_is_used() -> None:
    assert {"grpc.aio._channel", "asyncio.subprocess"} <= modules_after(f"{_LOAD}\n{_CALL}")


def test_wherry_is_a_namespace() -> None:
    assert not (CLIENT.parent / "__init__.py").exists()


def test_the_public_names_are_there() -> None:
    for name in dir(wherry.client):
        assert getattr(wherry.client, name) is not None
    with pytest.raises(AttributeError):
        wherry.client.__getattr__("nothing")


def test_the_version_is_that_of_the_distribution() -> None:
    with (REPOSITORY / "pyproject.toml").open("rb") as stream:
        assert tomllib.load(stream)["project"]["version"] == wherry.client.__version__


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_table_is_that_of_the_command(name: str) -> None:
    assert isinstance(program, LazyGroup)
    command = program.get_command(click.Context(program), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name][2]


def test_no_file_imports_the_service() -> None:
    for file in CLIENT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not module.startswith("wherry.service"), file


def test_what_a_type_checker_reads_is_what_is_loaded() -> None:
    tree = ast.parse((CLIENT / "__init__.py").read_text())
    read = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert read == wherry.client._HOMES
    assert sorted(read) == sorted(wherry.client.__all__)
    for name in read:
        assert getattr(wherry.client, name) is not None
