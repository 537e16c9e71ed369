import pytest

from wherry.service.domain.dvc.metric_files import looks_textual


# What `dvc repro` of DVC 3.67 takes as metrics, and refuses as binary.
@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (b"", True),
        (b'{"auc": 0.9}\n', True),
        (b"a\0b", False),
        (b"a" * 70 + b"\1" * 30, True),
        (b"a" * 69 + b"\1" * 31, False),
        (bytes(range(128, 256)), False),
        ('{"a": "schlüssel ünïcödé"}'.encode(), False),
        ('{"accuracy of the classifier": "gut für uns"}'.encode(), True),
        (b"\t\r\n\f\b" * 20, True),
    ],
)
def test_metrics_are_what_dvc_takes_for_text(content: bytes, *, taken: bool) -> None:
    assert looks_textual(content) is taken
