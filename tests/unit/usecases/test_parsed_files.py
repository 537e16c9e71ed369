from collections.abc import Mapping

import pytest

from wherry.service.domain.dvc.context import FilesNeeded
from wherry.service.domain.dvc.dvc_config import ParsingSettings
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings
from wherry.service.usecases.parsed_files import ParsedFiles

PIPELINE = ProjectPath("dvc.yaml")
PARAMS = ProjectPath("params.yaml")
CONTENT = b"stages:\n  train:\n    cmd: train ${rate}\n    outs: [model]\n"
LOCK = b"schema: '2.0'\nstages:\n  train:\n    cmd: train 1\n"


def read(
    parsed: ParsedFiles,
    files: Mapping[ProjectPath, bytes],
    content: bytes = CONTENT,
    *,
    parsing: ParsingSettings | None = None,
    around: Surroundings = NOWHERE,
) -> tuple[Stage, ...]:
    return parsed.pipeline(
        content, PIPELINE, load=files.get, parsing=parsing or ParsingSettings(), around=around
    )


def test_the_same_files_are_read_once() -> None:
    parsed = ParsedFiles()
    stages = read(parsed, {PARAMS: b"rate: 1\n"})
    assert stages[0].cmd == "train 1"
    assert read(parsed, {PARAMS: b"rate: 1\n"}) is stages
    assert parsed.lock(LOCK, ProjectPath("dvc.lock")) is parsed.lock(LOCK, ProjectPath("dvc.lock"))


def test_what_a_pipeline_reads_counts() -> None:
    parsed = ParsedFiles()
    assert read(parsed, {PARAMS: b"rate: 1\n"})[0].cmd == "train 1"
    assert read(parsed, {PARAMS: b"rate: 2\n"})[0].cmd == "train 2"
    changed = CONTENT.replace(b"model", b"other")
    assert read(parsed, {PARAMS: b"rate: 2\n"}, changed)[0].outs[0].path == "other"


def test_settings_and_surroundings_count() -> None:
    parsed = ParsedFiles()
    files = {PARAMS: b"rate: {on: false}\n"}
    with_options = b"stages:\n  train:\n    cmd: train ${rate}\n"
    usual = read(parsed, files, with_options)[0].cmd
    assert read(parsed, files, with_options, parsing=ParsingSettings(boolean_optional=True))[0].cmd != usual
    elsewhere = Surroundings(root="/home/me/project", levels=1)
    assert read(parsed, files, with_options) is not read(parsed, files, with_options, around=elsewhere)


def test_what_is_not_at_hand_is_asked_for_though_it_was_read_before() -> None:
    parsed = ParsedFiles()
    read(parsed, {PARAMS: b"rate: 1\n"})

    def nothing(path: ProjectPath) -> bytes | None:
        raise FilesNeeded([path])

    with pytest.raises(FilesNeeded, match=PARAMS):
        parsed.pipeline(CONTENT, PIPELINE, load=nothing, parsing=ParsingSettings(), around=NOWHERE)


def test_what_was_used_longest_ago_is_forgotten() -> None:
    parsed = ParsedFiles(bytes_max=2 * len(LOCK))
    paths = [ProjectPath(f"{name}/dvc.lock") for name in "abc"]
    first, second, third = (parsed.lock(LOCK, path) for path in paths)
    assert parsed.lock(LOCK, paths[2]) is third
    assert parsed.lock(LOCK, paths[1]) is second
    assert parsed.lock(LOCK, paths[0]) is not first
