"""A dvc.lock in the very form in which DVC writes it, read stage by stage: nearly every lock is one.

At any other line, comment or spelling `read_written_lock` gives up, and lockfile.py reads the file as any YAML. What is
read here is what would be read there; errors are found only there.
"""

import re
from collections.abc import Mapping
from typing import Any

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.scalars import read_plain
from wherry.service.domain.dvc.simple_yaml import is_usual, read_plain_text, read_usual
from wherry.service.domain.records import FileEntry, Params, StageEntry

_HEAD = "schema: '2.0'\nstages:\n"

# An MD5 of digits and one "e" alone would be a number.
_FILE = (
    r"    - path: ([\w./].*)\n"
    r"      hash: md5\n"
    r"      md5: ((?=[0-9e]*[a-df.])[0-9a-f]{32}(?:\.dir)?)\n"
    r"      size: (0|[1-9][0-9]{0,17})\n"
    r"(?:      nfiles: (0|[1-9][0-9]{0,17})\n)?"
    r"(?:      isexec: (true)\n)?"
)
_EACH_FILE = re.compile(_FILE, re.ASCII)
_FILES = re.sub(r"\((?!\?)", "(?:", _FILE)
_STAGE = re.compile(
    r"  ([A-Za-z_][\w@./-]{0,200}):\n"
    r"    cmd: (.+(?:\n      .+)*+)\n"
    rf"(?:    deps:\n((?:{_FILES})++))?"
    r"(?:    params:\n((?:      .+\n)++))?"
    rf"(?:    outs:\n((?:{_FILES})++))?",
    re.ASCII,
)


def read_written_lock(text: str) -> Mapping[str, StageEntry] | None:
    """Read all entries by their stage's key; None when something stands there that DVC writes otherwise."""
    if not text.startswith(_HEAD) or not is_usual(text):
        return None
    entries: dict[str, StageEntry] = {}
    position = len(_HEAD)
    while position < len(text):
        stage = _STAGE.match(text, position)
        if stage is None or stage[1] in entries or not isinstance(read_plain(stage[1]), str):
            return None
        entry = _entry(stage)
        if entry is None:
            return None
        entries[stage[1]] = entry
        position = stage.end()
    # A lock without stages is nothing that DVC writes.
    return entries or None


def _entry(stage: "re.Match[str]") -> StageEntry | None:
    cmd = read_plain_text(stage[2])
    deps, params, outs = _files(stage[3]), _params(stage[4]), _files(stage[5])
    if cmd is None or deps is None or params is None or outs is None:
        return None
    return StageEntry(cmd=cmd, deps=deps, params=params, outs=outs)


def _files(block: str | None) -> tuple[FileEntry, ...] | None:
    entries: list[FileEntry] = []
    if block is None:
        return ()
    for written, md5, size, nfiles, executable in _EACH_FILE.findall(block):
        path = read_plain_text(written)
        if path is None:
            return None
        entries.append(
            FileEntry(
                path=path,
                hash=BlobHash(md5),
                size_bytes=int(size),
                nfiles=int(nfiles) if nfiles else None,
                executable=bool(executable),
            )
        )
    return tuple(entries)


def _params(block: str | None) -> Params | None:
    if block is None:
        return {}
    # Every line of it is indented by six blanks at least, and all of the lock is usual.
    read = read_usual(block[6:].replace("\n      ", "\n"))
    files: Any = read and read[0]
    if not isinstance(files, dict):
        return None
    for file, values in files.items():
        if not isinstance(file, str) or not isinstance(values, dict):
            return None
        if not all(isinstance(key, str) for key in values):
            return None
    return files
