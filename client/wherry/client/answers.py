"""What the SDK answers about a project and a service, as plain values with the protocol's messages behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wherry.client.documents import decision_word, explanation_document, plan_document, source_word
from wherry.v1.pipelines_pb2 import Explanation, Plan

_NO_WORK = frozenset({"hit", "frozen"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a run would do with a stage."""

    name: str
    """As DVC addresses it, from the DVC root."""
    decision: str
    """hit, run, waits, frozen or invalid."""
    reasons: tuple[str, ...]
    key: str | None
    """The key of its result; None as long as an input is not known."""
    source: str | None
    """Who vouches for a hit: run, dvc_lock or dvc_run_cache."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a run would do now. Nothing has been run."""

    record: Plan = field(repr=False)

    @property
    def stages(self) -> Mapping[str, StagePlan]:
        """The selected stages and what they depend on, by name, in the order of the graph."""
        return {
            stage.name: StagePlan(
                name=stage.name,
                decision=decision_word(stage.decision),
                reasons=tuple(stage.reasons),
                key=stage.key or None,
                source=source_word(stage.source),
            )
            for stage in self.record.stages
        }

    @property
    def has_work(self) -> bool:
        """Whether anything would run."""
        return any(stage.decision not in _NO_WORK for stage in self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """Return what `wherry status --json` prints: wherry.plan/1 (docs/schemas)."""
        return plan_document(self.record)


@dataclass(frozen=True, slots=True)
class Why:
    """Why a stage is computed, or whose result is used."""

    record: Explanation = field(repr=False)

    @property
    def stage(self) -> str:
        """The stage, from the DVC root."""
        return self.record.stage

    @property
    def decision(self) -> str:
        """Hit, run, waits, frozen or invalid."""
        return decision_word(self.record.decision)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences for people."""
        return tuple(self.record.reasons)

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not as it was when the nearest result was computed, a sentence each."""
        return tuple(difference.text for difference in self.record.differences)

    def to_dict(self) -> dict[str, Any]:
        """Return what `wherry why --json` prints: wherry.why/1 (docs/schemas)."""
        return explanation_document(self.record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Which service is used, and as whom."""

    user: str
    """The name that runs carry."""
    server: str
    """grpcs://host:port"""
    origin: str
    """Who names the server."""
    node: str
    version: str
    has_token: bool
    token: str | None
    """The name of the token that is shown; None: the service's own, or the service is older than tokens."""
    is_owner: bool | None
    """Whether it is the service's own, whose holder may make others; None: the service is older."""
    token_expires_at: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return what `wherry whoami --json` prints: wherry.whoami/1 (docs/schemas)."""
        return {
            "schema": "wherry.whoami/1",
            "user": self.user,
            "server": self.server,
            "origin": self.origin,
            "node": self.node or None,
            "version": self.version or None,
            "has_token": self.has_token,
            "token": self.token,
            "is_owner": self.is_owner,
            "token_expires_at": self.token_expires_at,
        }
