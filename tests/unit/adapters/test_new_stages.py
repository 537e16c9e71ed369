"""The short way writes and reads what the long one does."""

from dataclasses import replace

import pytest

from wherry.service.adapters.new_stages import dump_new_stage, load_any_stage
from wherry.service.adapters.records_json import dump_stage, load_stage
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import State

NAMES = [
    "train",
    "sub/dvc.yaml:train@a b",
    'quote" and \\',
    "ü\udc80",
    "",
    dump_stage(StageRecord(name=StageName("x"))),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_new_stage_is_written_as_any_other_and_read_again(name: str) -> None:
    new = StageRecord(name=StageName(name))
    text = dump_new_stage(new.name)
    assert text == dump_stage(new)
    assert load_any_stage(text) == load_stage(text) == new


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_with_more_to_it_is_read_whole(name: str) -> None:
    new = StageRecord(name=StageName(name))
    for known in (
        replace(new, attempt=1),
        replace(new, state=State.PREPARING),
        replace(new, reason=dump_new_stage(new.name)),
    ):
        assert load_any_stage(dump_stage(known)) == known
