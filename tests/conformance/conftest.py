"""Each project is run by DVC once; several tests look at it."""

import pytest

from tests.conformance.cases import CASES
from tests.conformance.harness import Case, RanProject, reproduce


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RanProject:
    case: Case = request.param
    return reproduce(tmp_path_factory.mktemp("dvc") / case.name, case)
