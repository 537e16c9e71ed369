"""What an operator may set is written down."""

from pathlib import Path

from wherry.service.config import Settings

PAGE = Path(__file__).parents[3] / "docs" / "service.md"


def test_every_setting_of_the_service_is_documented() -> None:
    text = PAGE.read_text()

    assert [name for name in Settings.model_fields if f"`WHERRY_{name.upper()}`" not in text] == []
