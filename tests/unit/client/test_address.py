import json
from pathlib import Path

import pytest

from wherry.client.address import find_endpoint, parse_address, user_name, wherry_home
from wherry.client.errors import BadConfiguration, Unreachable


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("grpc://127.0.0.1:50051", ("127.0.0.1:50051", False)),
        ("grpc://localhost:1", ("localhost:1", False)),
        ("grpc://[::1]:1", ("[::1]:1", False)),
        ("grpcs://wherry.example.org", ("wherry.example.org:443", True)),
        ("grpcs://wherry.example.org:8443/", ("wherry.example.org:8443", True)),
    ],
)
def test_addresses_are_read(text: str, parsed: tuple[str, bool]) -> None:
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "grpc://example.org:1",
        "grpc://10.0.0.1:1",
        "grpc://127.0.0.1.example.org:1",
        "http://127.0.0.1:1",
        "127.0.0.1:1",
        "grpc://127.0.0.1",
        "grpcs://h:99999",
        "grpcs://h/path",
        "grpcs://[",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadConfiguration):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("team.example.org:8443", "write grpcs://team.example.org:8443"),
        ("https://team.example.org/wherry", "write grpcs://team.example.org"),
        ("localhost:50051", "write grpc://localhost:50051"),
        ("[::1]:50051", "write grpc://[::1]:50051"),
        ("", "write grpcs://HOST:PORT"),
        ("my server", "write grpcs://HOST:PORT"),
    ],
)
def test_the_address_that_was_meant_is_named(text: str, hint: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse_address(text)
    assert refused.value.hint == hint


def test_who_names_a_wrong_address_is_said(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "wherry.toml").write_text('server = "team:1"\n')
    environ = {"WHERRY_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    for server, more, origin in (
        ("grpcs://h/path", {}, "flag --server"),
        (None, {"WHERRY_SERVER": "grpc://team:1"}, "environment WHERRY_SERVER"),
        (None, {}, ".dvc/wherry.toml"),
    ):
        with pytest.raises(BadConfiguration) as refused:
            find_endpoint(server, environ | more, folder=tmp_path)
        assert refused.value.where == origin


def test_flag_beats_environment_beats_the_embedded_service(tmp_path: Path) -> None:
    environ = {"WHERRY_HOME": str(tmp_path)}
    with pytest.raises(Unreachable):
        find_endpoint(None, environ)
    (tmp_path / "token").write_text("secret\n")
    record = {"pid": 1, "address": "grpc://127.0.0.1:7", "token_file": str(tmp_path / "token")}
    (tmp_path / "service.json").write_text(json.dumps(record))
    embedded = find_endpoint(None, environ)
    assert (embedded.target, embedded.token, embedded.embedded) == ("127.0.0.1:7", "secret", True)
    assert "secret" not in repr(embedded)
    environ["WHERRY_SERVER"] = "grpc://127.0.0.1:8"
    assert (find_endpoint(None, environ).target, find_endpoint(None, environ).token) == ("127.0.0.1:8", "")
    environ["WHERRY_TOKEN"] = "other"
    assert find_endpoint("grpc://127.0.0.1:9", environ).target == "127.0.0.1:9"
    assert find_endpoint("grpc://127.0.0.1:9", environ).token == "other"


def test_home_and_user_come_from_the_environment() -> None:
    assert wherry_home({"WHERRY_HOME": "/x"}) == Path("/x")
    assert wherry_home({"XDG_DATA_HOME": "/d"}) == Path("/d/wherry")
    assert user_name({"WHERRY_USER": "jürgen\n"}) == "j?rgen?"


def test_the_token_is_not_shown_to_a_server_that_only_the_project_names(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "wherry.toml").write_text('server = "grpcs://elsewhere.example:443"\n')
    environ = {"WHERRY_TOKEN": "secret", "WHERRY_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    with pytest.raises(BadConfiguration, match="is not shown to grpcs"):
        find_endpoint(None, environ, folder=tmp_path)

    meant = {**environ, "WHERRY_SERVER": "grpcs://elsewhere.example:443"}
    assert find_endpoint(None, meant, folder=tmp_path).token == "secret"
    assert find_endpoint(None, {**environ, "WHERRY_TOKEN": ""}, folder=tmp_path).token == ""
