"""What was used of a machine, as JSON: the parts of records and results that say so."""

import json
from collections.abc import Mapping
from typing import Any

from wherry.service.domain.run import EndedAttempt
from wherry.service.domain.usage import Usage


def dump_usage(usage: Usage) -> str | None:
    """Write what was used; None where nothing was counted."""
    return None if usage.is_empty else json.dumps(plain_usage(usage))


def load_usage(text: str | None) -> Usage:
    """Read what was used."""
    return usage_from(None if text is None else json.loads(text))


def plain_usage(usage: Usage) -> dict[str, Any] | None:
    """As JSON knows it; None where nothing was counted."""
    if usage.is_empty:
        return None
    return {
        "peak_memory_bytes": usage.peak_memory_bytes,
        "cpu_s": usage.cpu_s,
        "read_bytes": usage.read_bytes,
        "written_bytes": usage.written_bytes,
    }


def usage_from(plain: Mapping[str, Any] | None) -> Usage:
    """Read it again."""
    return Usage(**(plain or {}))


def plain_attempt(attempt: EndedAttempt) -> dict[str, Any]:
    """An attempt that was not the last, as JSON knows it."""
    return {
        "reason": attempt.reason,
        "exit_code": attempt.exit_code,
        "wall_s": attempt.wall_s,
        "usage": plain_usage(attempt.usage),
    }


def attempt_from(plain: Mapping[str, Any]) -> EndedAttempt:
    """Read it again."""
    return EndedAttempt(**(dict(plain) | {"usage": usage_from(plain["usage"])}))
