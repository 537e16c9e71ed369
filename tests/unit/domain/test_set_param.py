"""What `-S` says of a mistake. What it writes is held against DVC in tests/conformance."""

import pytest

from wherry.service.domain.dvc.override_grammar import BeyondBasics
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
        ("~nope", "params.yaml has no 'nope' there", "There are 'train', 'l'."),
        (
            "+train.lr=1",
            "train.lr is in params.yaml already",
            "'train.lr=1' sets it, '++train.lr=1' adds or sets it.",
        ),
        (
            "train.lr=1,2",
            "sweep",
            "`wherry exp run` makes a run for each; text with commas goes in quotes, a list in brackets.",
        ),
    ],
)
def test_a_mistake_is_explained(override: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        apply_overrides(b"train: {lr: 1}\nl: [1, 2]\n", "params.yaml", [override])
    assert message in caught.value.message
    assert override in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize("override", ["a=int(3)", "a=${b}", "db/x=1", "a=range(1,3)", "+db@p=x"])
def test_what_takes_hydra_is_left_to_it(override: str) -> None:
    with pytest.raises(BeyondBasics):
        apply_overrides(b"a: 1\n", "p.yaml", [override])


@pytest.mark.parametrize("text", ["a: 1\nb: ${a}\n", "a: 1\nb: [{c: '???'}]\n"])
def test_a_file_with_interpolations_is_left_to_hydra(text: str) -> None:
    with pytest.raises(BeyondBasics):
        apply_overrides(text.encode(), "p.yaml", ["a=2"])


_PYTHON = """\
# é
NAME = 'adam'  # which
N = 1_000
L = [1,2]
T = (1, 2)
D = {'a': {'b': 1},  # kept
     'c': 'x'}
LONG = [
    1,  # one
    2,
]
A = 1; B = 1
S = "é"; after = 2
class Train:
    opt: str = "sgd"
    def __init__(self): self.size = 0x10
X = 1
X = 2
"""


@pytest.mark.parametrize(
    ("override", "old", "new"),
    [
        ("NAME=sgd", "NAME = 'adam'", "NAME = 'sgd'"),
        ('NAME="it\'s"', "NAME = 'adam'", 'NAME = "it\'s"'),
        ("NAME=3", "NAME = 'adam'", "NAME = 3"),
        ("N=2", "N = 1_000", "N = 2"),
        ("N=text", "N = 1_000", "N = 'text'"),
        ("L.1=5", "L = [1,2]", "L = [1,5]"),
        ("T.0=3", "T = (1, 2)", "T = (3, 2)"),
        ("T=[3]", "T = (1, 2)", "T = [3]"),
        ("D.a.b=7", "{'b': 1}", "{'b': 7}"),
        ("D.c=y", "'c': 'x'", "'c': 'y'"),
        ("LONG.1=9", "    2,\n", "    9,\n"),
        ("B=2", "A = 1; B = 1", "A = 1; B = 2"),
        ("after=3", "after = 2", "after = 3"),
        ("Train.opt=x", '"sgd"', "'x'"),
        ("Train.size=1", "0x10", "1"),
        ("X=3", "X = 2", "X = 3"),
        ("A=1", "", ""),
    ],
)
def test_a_literal_of_python_is_replaced_and_nothing_else(override: str, old: str, new: str) -> None:
    assert old in _PYTHON
    assert apply_overrides(_PYTHON.encode(), "p.py", [override]).decode() == _PYTHON.replace(old, new, 1)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_python_stay(end: str) -> None:
    before = _PYTHON.replace("\n", end).encode()
    assert apply_overrides(before, "p.py", ["B=2"]) == before.replace(b"B = 1", b"B = 2")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+NEW=1", "cannot add names"),
        ("~N", "or remove them"),
        ("+Train.new=1", "cannot add names"),
        ("Train=1", "'Train' is a class"),
        ("LONG=[1]", "comments in it"),
        ("+D.new=1", "comments in it"),
        ("N=inf", "would not read back"),
    ],
)
def test_what_would_damage_a_python_file_is_refused(override: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        apply_overrides(_PYTHON.encode(), "p.py", [override])


def test_toml_keeps_comments_and_refuses_null() -> None:
    text = b"# top\na = 1  # one\n[t]\nb = [1, 2]\n"
    assert apply_overrides(text, "p.toml", ["a=2"]) == text.replace(b"a = 1", b"a = 2")
    with pytest.raises(InvalidInput, match="TOML") as caught:
        apply_overrides(text, "p.toml", ["a=null"])
    assert "no null" in caught.value.hint


def test_a_broken_file_is_refused_with_its_place() -> None:
    with pytest.raises(PipelineInvalid) as caught:
        apply_overrides(b"a: [\n", "p.yaml", ["a=2"])
    assert str(caught.value.place) == "p.yaml:2:1"


def test_a_value_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="deeply"):
        apply_overrides(b"a: 1\n", "p.yaml", ["a=" + "[" * 5000])
