"""What DVC leaves behind after running a project is what Wherry would have written."""

import posixpath

from tests.conformance.harness import RanProject, expected_run_cache
from wherry.service.domain.dvc.graph import topological_order
from wherry.service.domain.dvc.lockfile import is_unchanged, parse_lock, update_lock
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.paths import ProjectPath


def _lock_of(file: str) -> ProjectPath:
    return ProjectPath(posixpath.join(posixpath.dirname(file), "dvc.lock"))


def test_lock_files_are_equal_to_the_byte(ran: RanProject) -> None:
    stages = ran.pipeline.stages
    for path in {_lock_of(stage.file) for stage in stages.values()}:
        order = [StageName(name) for name in ran.dvc_order if _lock_of(stages[StageName(name)].file) == path]
        entries = {stages[name].key: ran.entries[name] for name in order}
        written = update_lock(ran.locks_before.get(path), entries, path)
        assert written.decode() == (ran.folder / path).read_text(encoding="utf-8")


def test_a_stage_reads_as_unchanged_where_dvc_says_so(ran: RanProject) -> None:
    recorded = {
        path: parse_lock((ran.folder / path).read_bytes(), path)
        for path in {_lock_of(stage.file) for stage in ran.pipeline.stages.values()}
    }
    for name in (StageName(name) for name in ran.dvc_order):
        stage = ran.pipeline.stages[name]
        entry = recorded[_lock_of(stage.file)][stage.key]
        whole = {params.path for params in stage.params if params.keys is None}
        changes = [change for change in ran.status.get(name, []) if change != "always changed"]
        assert is_unchanged(entry, ran.entries[name], whole_files=whole) is not bool(changes), name


def test_run_cache_has_the_same_keys_values_and_bytes(ran: RanProject) -> None:
    assert ran.run_cache_files() == expected_run_cache(ran)


def test_stages_ran_in_the_order_that_is_planned(ran: RanProject) -> None:
    planned = [name for name in topological_order(ran.pipeline) if name in ran.pipeline.stages]
    assert ran.dvc_order == planned
