"""What `-S` says of a mistake. What it writes is held against DVC in tests/conformance."""

import pytest

from wherry.service.domain.dvc.set_param import apply_overrides, split_override
from wherry.service.domain.errors import InvalidInput, PipelineInvalid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1", ("params.yaml", "lr=1")),
        ("conf/p.json:lr=1", ("conf/p.json", "lr=1")),
        ("url=http://x:80", ("params.yaml", "url=http://x:80")),
        ("p.yaml:url=a:b", ("p.yaml", "url=a:b")),
        ("~lr", ("params.yaml", "~lr")),
        ("p.yaml:~lr", ("p.yaml", "~lr")),
        ("p.yaml:+a.b=1", ("p.yaml", "+a.b=1")),
    ],
)
def test_a_colon_before_the_equals_sign_names_a_file(text: str, expected: tuple[str, str]) -> None:
    assert split_override(text) == expected


def test_a_colon_without_a_file_is_refused() -> None:
    with pytest.raises(InvalidInput):
        split_override(":lr=1")


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("train.lrr=1", "params.yaml has no 'lrr' there", "Did you mean 'lr'? A new key takes '+' in front."),
        ("other=1", "params.yaml has no 'other' there", "A new key takes '+' in front."),
        ("l.5=1", "params.yaml has no '5' there", "The list there has 2 items, counted from 0."),
        ("~nope", "params.yaml has no 'nope' there", "A new key takes '+' in front."),
        (
            "+train.lr=1",
            "train.lr is in params.yaml already",
            "'train.lr=1' sets it, '++train.lr=1' adds or sets it.",
        ),
        ("train.lr=1,2", "sweep", "Put text with commas in quotes, a list in brackets."),
        ("train.lr=range(1,3)", "range(…)", "Put text with parentheses in quotes."),
        ("db/x=1", "group of Hydra", ""),
    ],
)
def test_a_mistake_is_explained(override: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        apply_overrides(b"train: {lr: 1}\nl: [1, 2]\n", "params.yaml", [override])
    assert message in caught.value.message
    assert override in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize("path", ["p.toml", "p.py"])
def test_files_that_cannot_be_rewritten_faithfully_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="does not set parameters in"):
        apply_overrides(b"a = 1\n", path, ["a=2"])


def test_a_broken_file_is_refused_with_its_place() -> None:
    with pytest.raises(PipelineInvalid) as caught:
        apply_overrides(b"a: [\n", "p.yaml", ["a=2"])
    assert str(caught.value.place) == "p.yaml:2:1"


def test_a_value_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="deeply"):
        apply_overrides(b"a: 1\n", "p.yaml", ["a=" + "[" * 5000])
