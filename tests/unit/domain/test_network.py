import pytest

from wherry.service.domain.network import NetworkPolicy


@pytest.mark.parametrize(
    ("default", "wanted", "has"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_a_stage_has_what_it_says_or_else_the_default(default: bool, wanted: bool | None, has: bool) -> None:
    assert NetworkPolicy(default=default).gives(wanted) == (has, "")


@pytest.mark.parametrize("wanted", [None, True, False])
def test_where_none_is_to_be_had_only_those_are_told_why_that_want_one(wanted: bool | None) -> None:
    policy = NetworkPolicy(default=True, withheld="the operator allows none")
    has, why = policy.gives(wanted)
    assert not has
    assert why == ("" if wanted is False else "the operator allows none")
