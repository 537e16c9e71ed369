import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.adapters import records_json
from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, OutputKind, StageEntry
from wherry.service.domain.run import (
    EndedAttempt,
    FileRecord,
    Run,
    RunError,
    StageRecord,
    WriteBack,
    WriteBackKind,
)
from wherry.service.domain.states import CacheUse, HitSource, Phase, State
from wherry.service.domain.task import LogName, RunId
from wherry.service.domain.usage import Usage

# Any code point, lone surrogates too: file names that are no UTF-8 arrive so.
texts = st.text(st.characters(), max_size=20)
hashes = st.builds(
    lambda digits, suffix: BlobHash(digits + suffix),
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.sampled_from(["", ".dir"]),
)
sizes = st.integers(0, 2**63 - 1)
counts = st.none() | st.integers(0, 10**6)
seconds = st.floats(0, 1e9)
instants = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30))]))
paths = st.builds(ProjectPath, texts)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
rare = st.dates() | st.datetimes() | instants | st.times()
values = st.recursive(
    scalars | rare,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts | st.just("$"), inner, max_size=4)
        | st.dictionaries(st.integers() | st.booleans() | st.none() | texts, inner, max_size=3)
    ),
    max_leaves=10,
)

usages = st.builds(
    Usage, peak_memory_bytes=st.none() | sizes, cpu_s=st.none() | seconds, read_bytes=st.none() | sizes
)
file_entries = st.builds(
    FileEntry, path=texts, hash=hashes, size_bytes=sizes, nfiles=counts, executable=st.booleans()
)
entries = st.builds(
    StageEntry,
    cmd=texts | st.lists(texts, max_size=3).map(tuple),
    deps=st.lists(file_entries, max_size=2).map(tuple),
    params=st.dictionaries(texts, st.dictionaries(texts, values, max_size=3), max_size=2),
    outs=st.lists(file_entries, max_size=2).map(tuple),
)
file_records = st.builds(
    FileRecord,
    path=paths,
    hash=hashes,
    size_bytes=sizes,
    nfiles=counts,
    executable=st.booleans(),
    kind=st.none() | st.sampled_from(OutputKind),
    cache=st.booleans(),
)
stages = st.builds(
    StageRecord,
    name=st.builds(StageName, texts),
    state=st.sampled_from(State),
    cache=st.none() | st.sampled_from(CacheUse),
    key=texts,
    from_run=st.none() | st.builds(RunId, texts),
    from_user=texts,
    source=st.none() | st.sampled_from(HitSource),
    attempt=st.integers(0, 100),
    node=texts,
    image=texts,
    exit_code=st.none() | st.integers(0, 255),
    reason=texts,
    wall_s=st.none() | seconds,
    usage=usages,
    earlier=st.lists(
        st.builds(
            EndedAttempt,
            reason=texts,
            exit_code=st.none() | st.integers(0, 255),
            wall_s=seconds,
            usage=usages,
        ),
        max_size=2,
    ).map(tuple),
    deps=st.lists(file_records, max_size=2).map(tuple),
    outs=st.lists(file_records, max_size=2).map(tuple),
    params_json=texts,
    phase=st.none() | st.sampled_from(Phase),
    since=st.none() | instants,
    log=st.none() | st.builds(LogName, texts),
)
errors = st.builds(RunError, reason=texts, message=texts, hint=texts)
write_backs = st.lists(
    st.builds(
        WriteBack,
        path=paths,
        digest=st.builds(Digest, hashes, sizes),
        executable=st.booleans(),
        submitted_hash=texts,
        kind=st.sampled_from(WriteBackKind),
    ),
    max_size=3,
).map(tuple)
runs = st.builds(
    Run,
    id=st.builds(RunId, texts),
    name=texts,
    project=texts,
    user=texts,
    rev=texts,
    dirty=st.booleans(),
    message=texts,
    state=st.sampled_from(State),
    created_at=instants,
    started_at=st.none() | instants,
    finished_at=st.none() | instants,
    compute_s=seconds,
    saved_s=seconds,
    stages=st.just({}),
    error=st.none() | errors,
    write_backs=write_backs,
)


def typed(value: Any) -> Any:
    """The value with the type of each part, so that 1, 1.0 and True differ and NaN equals NaN."""
    if isinstance(value, Mapping):
        return ("mapping", [(typed(key), typed(item)) for key, item in value.items()])
    if isinstance(value, list | tuple):
        return (type(value), [typed(item) for item in value])
    if isinstance(value, float) and math.isnan(value):
        return (float, "nan")
    if isinstance(value, float):
        return (float, value.hex())
    return (type(value), value)


@given(entries)
def test_a_stage_entry_survives_with_the_type_of_every_value(entry: StageEntry) -> None:
    text = records_json.dump_entry(entry)
    assert text.isascii()
    loaded = records_json.load_entry(text)
    assert (loaded.cmd, loaded.deps, loaded.outs) == (entry.cmd, entry.deps, entry.outs)
    assert typed(loaded.params) == typed(entry.params)


@given(stages)
def test_a_stage_record_survives(stage: StageRecord) -> None:
    assert records_json.load_stage(records_json.dump_stage(stage)) == stage
    assert records_json.load_event(records_json.dump_event(stage)) == stage


@given(runs)
def test_a_run_survives_as_an_event(run: Run) -> None:
    assert records_json.load_event(records_json.dump_event(run)) == run


@given(errors)
def test_a_run_error_survives(error: RunError) -> None:
    assert records_json.load_error(records_json.dump_error(error)) == error


@given(write_backs)
def test_write_backs_survive(items: tuple[WriteBack, ...]) -> None:
    assert records_json.load_write_backs(records_json.dump_write_backs(items)) == items


def test_dates_and_times_of_yaml_and_toml_survive() -> None:
    params = {
        "p.toml": {"day": date(2026, 1, 2), "at": time(3, 4), "when": datetime(2026, 1, 2, 3, tzinfo=UTC)}
    }
    entry = StageEntry(cmd="true", deps=(), params=params, outs=())
    assert records_json.load_entry(records_json.dump_entry(entry)) == entry


def test_a_value_that_no_params_file_can_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        records_json.dump_entry(StageEntry(cmd="true", deps=(), params={"p": {"k": object()}}, outs=()))
