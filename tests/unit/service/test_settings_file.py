"""The service's settings in a file."""

from pathlib import Path

import pytest

from wherry.service.config import SettingsFileWrong, read_settings


def test_flags_win_over_variables_and_variables_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wherry.toml"
    file.write_text('node = "file"\njobs = 3\nlisten = "127.0.0.1:1"\nnetwork = false\n')
    monkeypatch.setenv("WHERRY_JOBS", "5")
    monkeypatch.setenv("WHERRY_LISTEN", "127.0.0.1:2")

    settings = read_settings(file, {"listen": "127.0.0.1:3"})

    assert (settings.node, settings.jobs, settings.listen, settings.network) == (
        "file",
        5,
        "127.0.0.1:3",
        False,
    )


@pytest.mark.parametrize(
    ("text", "says"), [("jobz = 3\n", "did you mean 'jobs'"), ("jobs = \n", "cannot be read")]
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "wherry.toml"
    file.write_text(text)

    with pytest.raises(SettingsFileWrong, match=says) as refused:
        read_settings(file, {})

    assert str(file) in str(refused.value)
