"""Text is cut to the columns of a terminal."""

import pytest

from wherry.client.cli.columns import columns_of, fit, fit_name


@pytest.mark.parametrize(
    ("name", "columns", "shown"),
    [
        ("train", 26, "train"),
        # The file is what stages of a large project have in common.
        ("pipelines/models/dvc.yaml:fit@en-bayes", 26, "…els/dvc.yaml:fit@en-bayes"),
        ("pipelines/models/dvc.yaml:fit@en-bayes", 14, "…:fit@en-bayes"),
        ("train@learning_rate0.001-depth12-seed1", 20, "train@…depth12-seed1"),
        ("sub/dvc.yaml:train@learning_rate0.001-depth12-seed1", 20, "train@…depth12-seed1"),
        ("資料/dvc.yaml:分割@東京", 12, "…l:分割@東京"),
        ("abcdefghij", 5, "abcd…"),
    ],
)
def test_of_a_stage_what_tells_it_from_others_is_kept(name: str, columns: int, shown: str) -> None:
    assert fit_name(name, columns) == shown
    assert columns_of(shown) <= columns


def test_other_text_is_cut_at_its_end() -> None:
    assert fit("東京 is far", 6) == "東京 …"
    assert fit("far", 0) == ""
