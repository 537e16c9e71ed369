"""Every conformance case of the specification is proved, here or by the tests that are named."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.drawn_comparison import compare
from tests.conformance.dvc_process import DvcProcess, dvc_process
from tests.conformance.specification_cases import EVERY_KIND, GRAPH_ERRORS, PROJECTS, SpecificationCase

ELSEWHERE = {
    4: "tests.unit.domain.test_keys:test_changing_any_component_changes_the_key",
    6: "tests.contract.test_run_cache:test_a_second_result_that_read_the_same_replaces_the_first",
    11: "tests.contract.test_output_collection:test_a_folder_has_the_hash_that_dvc_gives_it",
    13: "tests.contract.test_output_collection:test_a_dvcignore_in_an_output_is_refused_as_dvc_does",
    17: "tests.integration.test_shell_driver:test_each_command_has_a_shell_of_its_own",
    19: "tests.integration.test_shell_driver:test_the_first_failure_ends_it_with_its_code",
    20: "tests.e2e.test_refusals:test_keep_going_finishes_the_other_branch",
    31: "tests.conformance.test_templating:test_templates_become_the_stages_that_dvc_makes_of_them",
    43: "tests.conformance.test_status:test_the_status_is_that_of_dvc",
    46: "tests.e2e.test_get_started:test_stock_dvc_restores_from_the_run_cache_without_a_lock",
    49: "tests.conformance.test_dag:test_names_are_those_of_dvc_from_wherever_one_looks",
}
"""What proves a case beside a project of its own, or in place of it: it concerns the service or a command."""

_CASES: dict[str, SpecificationCase] = {
    **{str(number): case for number, case in PROJECTS.items()},
    **{f"42 {name}": case for name, case in GRAPH_ERRORS.items()},
    "parameters of every kind": EVERY_KIND,
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DvcProcess]:
    with dvc_process(tmp_path_factory.mktemp("dvc")) as started:
        yield started


@pytest.mark.parametrize("name", _CASES)
def test_the_project_of_a_case_means_what_it_means_to_dvc(
    name: str, process: DvcProcess, tmp_path: Path
) -> None:
    case = _CASES[name]
    folder = tmp_path.resolve()
    assert compare(case.project, folder, process) == case.how_far
    for path, pattern in (case.holds or {}).items():
        assert re.search(pattern, (folder / "root" / path).read_text(encoding="utf-8"), re.DOTALL), path


@pytest.mark.parametrize("number", ELSEWHERE)
def test_what_else_proves_a_case_is_there(number: int) -> None:
    module, _, name = ELSEWHERE[number].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
