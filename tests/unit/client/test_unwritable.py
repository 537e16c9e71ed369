"""Files that cannot be written."""

import os
from pathlib import Path

import pytest

from wherry.client.unwritable import cannot_write


def _write(file: Path) -> OSError:
    with pytest.raises(OSError, match="director") as caught:
        file.write_text("x")
    return caught.value


def test_the_file_the_reason_and_what_to_do_are_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    folder = cannot_write(tmp_path / "folder", _write(tmp_path / "folder"))
    below = cannot_write("x", _write(tmp_path / "file" / "x"))
    assert folder.message == f"cannot write {tmp_path}/folder: Is a directory"
    assert folder.hint == "a folder stands in its place"
    assert "in the place of one of its folders" in below.hint


def test_a_full_disk_is_told_with_what_to_do() -> None:
    with pytest.raises(OSError, match="No space") as caught, open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 - a device
        os.write(full.fileno(), b"x")
    full_disk = cannot_write(Path("data/big"), caught.value)
    assert full_disk.message == "cannot write data/big: No space left on device"
    assert full_disk.hint.startswith("make room on that disk")
