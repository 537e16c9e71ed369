"""What .dvcignore hides."""

from contextlib import nullcontext

import pytest

from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.ignore import IgnoreRules, refuse_ignored_outputs
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath

FILES = {
    ".dvcignore": "# comment\n*.log\n/top.txt\nbuild/\n!keep.log\n",
    "sub/.dvcignore": "!*.log\n  *.tmp  \n",
    "empty/.dvcignore": "# nothing\n",
}


def rules(files: dict[str, str]) -> IgnoreRules:
    return IgnoreRules({ProjectPath(path): text.encode() for path, text in files.items()})


@pytest.mark.parametrize(
    ("path", "is_folder", "ignored"),
    [
        ("a.log", False, True),
        ("deep/er/a.log", False, True),
        ("keep.log", False, False),
        ("top.txt", False, True),
        ("deep/top.txt", False, False),
        ("build", True, True),
        ("build", False, False),
        ("build/inside", False, True),
        ("x/build/inside", False, True),
        ("sub/a.log", False, False),
        ("sub/a.tmp", False, True),
        ("a.tmp", False, False),
        ("sub/deeper/a.tmp", False, True),
        ("empty/a.log", False, True),
    ],
)
def test_the_nearest_file_that_says_something_decides(path: str, is_folder: bool, ignored: bool) -> None:
    assert rules(FILES).ignores(ProjectPath(path), is_folder=is_folder) is ignored


def test_nothing_is_brought_back_below_an_ignored_folder() -> None:
    assert rules({".dvcignore": "out/\n!out/keep\n"}).ignores(ProjectPath("out/keep"), is_folder=False)


def test_only_patterns_count_for_the_fingerprint() -> None:
    assert rules({}).fingerprint == rules({".dvcignore": "# only words\n\n"}).fingerprint == ""
    assert rules({".dvcignore": "*.log\n"}).fingerprint == rules({".dvcignore": "#\n*.log"}).fingerprint
    assert rules({".dvcignore": "*.log\n"}).fingerprint != rules({"sub/.dvcignore": "*.log\n"}).fingerprint


@pytest.mark.parametrize(("pattern", "refused"), [("o", "stage 's'"), ("d/", "d.dvc"), ("*.log", "")])
def test_what_is_written_or_tracked_must_not_be_ignored(pattern: str, refused: str) -> None:
    stages = parse_pipeline_file(b"stages: {s: {cmd: x, outs: [o]}}", ProjectPath("dvc.yaml"))
    data = b"outs: [{path: d, md5: 0123456789abcdef0123456789abcdef.dir, hash: md5}]"
    pipeline = build_pipeline(stages, [parse_data_file(data, ProjectPath("d.dvc"))])
    with pytest.raises(PipelineInvalid, match=refused) if refused else nullcontext():
        refuse_ignored_outputs(pipeline, rules({".dvcignore": pattern}))
