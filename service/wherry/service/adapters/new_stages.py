"""Records of stages of which nothing is known but the name: of those a run is made, and there may be thousands."""

import json

from wherry.service.adapters.records_json import dump_stage, load_stage
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import StageRecord

_HEAD = '{"name":'
_TAIL = dump_stage(StageRecord(name=StageName(""))).removeprefix(f'{_HEAD}""')


def dump_new_stage(name: StageName) -> str:
    """What dump_stage writes for a stage that has only its name."""
    return f"{_HEAD}{json.dumps(name)}{_TAIL}"


def load_any_stage(text: str) -> StageRecord:
    """Read what dump_stage or dump_new_stage wrote."""
    # The tail holds every other field, each of them once: it cannot begin within a name.
    if text.endswith(_TAIL):
        return StageRecord(name=StageName(json.loads(text[len(_HEAD) : -len(_TAIL)])))
    return load_stage(text)
