"""Which service a command talks to, as whom, and who says so."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.integration.client.conftest import Run
from tests.integration.client.fake_service import FakeService


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """No service is named by the environment; profiles are kept in a folder of the test."""
    return {"WHERRY_SERVER": "", "XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_login_tries_the_service_and_keeps_its_token_for_the_owner_alone(
    wherry: Run, service: FakeService, nowhere: dict[str, str]
) -> None:
    assert wherry("ps", **nowhere).code == 69
    refused = wherry("login", service.address, **nowhere)
    assert (refused.code, "--token -" in refused.err) == (77, True)
    assert wherry("login", "grpc://127.0.0.1:1", "--token", "x", **nowhere).code == 69
    file = Path(nowhere["XDG_CONFIG_HOME"]) / "wherry" / "config.toml"
    assert not file.exists()
    assert wherry("login", service.address, "--token", "s3cret", "--name", "team", **nowhere).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert wherry("repro", "-d", **nowhere).code == 0
    assert service.metadata["authorization"] == "Bearer s3cret"
    # Neither list nor document has the token.
    said = [
        wherry(*line.split(), **nowhere)
        for line in ("profile ls", "profile ls --json", "config -l", "whoami")
    ]
    assert all(done.code == 0 and "s3cret" not in done.out + done.err for done in said)
    assert f"ana at {service.address}" in said[-1].out
    assert wherry("logout", **nowhere).code == 0
    assert wherry("ps", **nowhere).code == 69
    assert "s3cret" not in file.read_text()


def test_a_profiles_token_goes_to_no_other_service_that_a_project_names(
    wherry: Run, service: FakeService, nowhere: dict[str, str], project: Path
) -> None:
    wherry("login", service.address, "--token", "s3cret", **nowhere)
    other = FakeService()
    try:
        (project / ".dvc" / "wherry.toml").write_text(f'server = "{other.address}"\n')
        assert wherry("repro", "-d", **nowhere).code == 0
        assert "authorization" not in other.metadata
        assert not service.submit_requests
        # Who names the profile means it, whatever the project says.
        assert wherry("repro", "-d", "--profile", "default", **nowhere).code == 0
        assert service.metadata["authorization"] == "Bearer s3cret"
    finally:
        other.stop()


def test_what_counts_is_told_with_its_origin_and_set_beside_what_the_service_reads(
    wherry: Run, nowhere: dict[str, str], project: Path
) -> None:
    file = project / ".dvc" / "wherry.toml"
    file.write_text('# ours\nproject = "old"\n\n[defaults]\nimage = "a"\nserver = "no key of ours"\n')
    assert wherry("config", "server", "grpc://127.0.0.1:7", **nowhere).code == 0
    assert wherry("config", "project", "mine", "--local", **nowhere).code == 0
    assert file.read_text() == (
        '# ours\nproject = "old"\nserver = "grpc://127.0.0.1:7"\n\n[defaults]\nimage = "a"\nserver = "no key of ours"\n'
    )
    said = wherry("config", "--json", **nowhere).json()["settings"]
    assert [(one["key"], one["value"], one["origin"]) for one in said] == [
        ("server", "grpc://127.0.0.1:7", ".dvc/wherry.toml"),
        ("project", "mine", ".dvc/wherry.local.toml"),
        ("user", "ana", "environment WHERRY_USER"),
    ]
    lines = wherry("config", "server", "--show-origin", "--server", "grpc://127.0.0.1:8", **nowhere).out
    assert lines == "flag --server\tgrpc://127.0.0.1:8\n"
    assert wherry("config", "-u", "server", **nowhere).code == 0
    assert wherry("config", "server", **nowhere).code == 5
    assert wherry("config", "profile", "x", **nowhere).code == 254


def test_names_that_were_seen_are_completed_without_asking_the_service(
    wherry: Run, service: FakeService, project: Path
) -> None:
    def complete(*words: str, folder: Path = project) -> list[str]:
        typed = {"COMP_WORDS": " ".join(("wherry", *words)), "COMP_CWORD": str(len(words))}
        done = wherry(
            folder=folder, WHERRY_SERVER="grpc://127.0.0.1:1", _WHERRY_COMPLETE="bash_complete", **typed
        )
        return [line.removeprefix("plain,") for line in done.out.splitlines() if line]

    (project / "dvc.yaml").write_text(
        "vars:\n  - other: 1\nstages:\n  prepare:\n    cmd: x\n  'train':  # ours\n    cmd: y\n    outs:\n      - z\n"
    )
    assert complete("repro", "") == ["prepare", "train"]
    service.script.run.stages.add(name="sub/dvc.yaml:deep@1")
    assert wherry("repro", "-d").code == 0
    assert wherry("ps").code == 0
    assert complete("show", "") == ["42"]
    assert complete("logs", "br") == ["brave-otter"]
    assert complete("logs", "42", "sub") == ["sub/dvc.yaml:deep@1"]
    assert "retry" in complete("re")
    (project / "sub").mkdir()
    assert complete("why", "d", folder=project / "sub") == ["deep@1"]
    assert complete("why", "t", folder=Path(os.sep)) == []
    for shell in ("bash", "zsh", "fish"):
        assert "_WHERRY_COMPLETE" in wherry("completion", shell).out
    names = project / ".dvc" / "tmp" / "wherry" / "names.json"
    assert json.loads(names.read_text())["runs"] == [["42", "brave-otter", "unspecified"]]
    names.write_text("damaged")
    assert complete("show", "") == []
