"""Tokens that people and jobs come with: their rules, and who a caller is by one."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from wherry.service.domain.errors import InvalidInput, NotAllowed

TOKENS_MAX = 1_000
"""Enough for a company's people and jobs; a bound on what a careless script makes."""

LIFETIME_MAX = timedelta(days=3650)

USE_NOTED_EVERY = timedelta(minutes=1)
"""How exactly the last use is known: not each call is worth a write."""

# Longer than any of ours: what is longer is not even hashed.
TOKEN_CHARACTERS_MAX = 256

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """What may be told of a token."""

    name: str
    user: str
    """As whom its holder comes."""
    created_at: datetime
    used_at: datetime | None = None
    expires_at: datetime | None = None

    def counts_at(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at

    def use_is_worth_noting(self, now: datetime) -> bool:
        """Whether its last use was noted so long ago that this one is new."""
        return self.used_at is None or now - self.used_at >= USE_NOTED_EVERY


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. Without a token of their own: the holder of the service's."""

    token: TokenRecord | None = None

    @property
    def is_owner(self) -> bool:
        """Whether they hold the service's own token."""
        return self.token is None

    def expect_owner(self) -> None:
        """Go on for the holder of the service's own token alone.

        Raises:
            NotAllowed: for anybody else.
        """
        if self.token is not None:
            raise NotAllowed(
                f"the token {self.token.name!r} cannot make, see or remove tokens",
                hint="Ask whoever holds the service's own token: WHERRY_TOKEN of its settings, or the file `token` in its home.",
            )


def token_hash(token: str) -> str:
    """What is kept of a token. It is random and long, so a plain hash cannot be turned back."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_token_name(name: str, what: str = "token") -> None:
    """Refuse what is no name.

    Raises:
        InvalidInput: if so.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name for a {what}",
            hint="Letters, digits, '.', '_', '-' and '@', beginning with a letter or digit, at most 64.",
        )


def expiry(now: datetime, lifetime_s: int) -> datetime | None:
    """When a token stops counting; None when it does not by itself.

    Raises:
        InvalidInput: if it is to last less than a second or more than ten years.
    """
    if lifetime_s == 0:
        return None
    if not 0 < lifetime_s <= LIFETIME_MAX.total_seconds():
        raise InvalidInput(
            f"a token cannot last {lifetime_s} seconds",
            hint=f"From 1 to {int(LIFETIME_MAX.total_seconds())} (ten years); 0: until it is removed.",
        )
    return now + timedelta(seconds=lifetime_s)
