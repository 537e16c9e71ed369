"""Tokens beside the service's own, by name, each with the hash of what its holder shows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from wherry.service.domain.tokens import TokenRecord


class TokenStore(Protocol):
    """Keeps them. What a holder shows is never kept."""

    async def add(self, record: TokenRecord, hash_: str) -> bool:
        """Keep a token; False: there is one of that name."""
        ...

    async def list_records(self) -> Sequence[TokenRecord]:
        """What there is, by name."""
        ...

    async def find(self, hash_: str) -> TokenRecord | None:
        """The token with this hash."""
        ...

    async def note_use(self, name: str, now: datetime) -> None:
        """Note when it was shown last."""
        ...

    async def remove(self, name: str) -> TokenRecord | None:
        """Remove one; None: there was none of that name."""
        ...


class TokenSource(Protocol):
    """Makes what holders show."""

    def make(self) -> str:
        """Return a new one, which nobody can guess."""
        ...
