"""Make, list and remove the tokens of people and jobs, and find out who comes with one."""

from collections.abc import Sequence

from wherry.service.domain.errors import Precondition, TokenUnknown
from wherry.service.domain.tokens import (
    TOKEN_CHARACTERS_MAX,
    TOKENS_MAX,
    Caller,
    TokenRecord,
    check_token_name,
    expiry,
    token_hash,
)
from wherry.service.ports.clock import Clock
from wherry.service.ports.tokens import TokenSource, TokenStore


class KeepTokens:
    """Everything is for the holder of the service's own token."""

    def __init__(self, *, store: TokenStore, source: TokenSource, clock: Clock) -> None:
        """Keep them in `store`."""
        self._store = store
        self._source = source
        self._clock = clock

    async def create(
        self, caller: Caller, *, name: str, user: str, lifetime_s: int
    ) -> tuple[str, TokenRecord]:
        """Make a token; returns what its holder must show, which is told this one time.

        Raises:
            NotAllowed: if the caller may not.
            InvalidInput: if it cannot be called so, or last so long.
            Precondition: if there is one of that name, or there are too many.
        """
        caller.expect_owner()
        check_token_name(name)
        check_token_name(user or name, "user")
        now = self._clock.now()
        record = TokenRecord(name=name, user=user or name, created_at=now, expires_at=expiry(now, lifetime_s))
        if len(await self._store.list_records()) >= TOKENS_MAX:
            raise Precondition(
                f"there are {TOKENS_MAX} tokens, and can be no more",
                hint="Remove some: `wherry token rm NAME`.",
            )
        token = self._source.make()
        if not await self._store.add(record, token_hash(token)):
            raise Precondition(
                f"there is a token called {name!r}",
                hint=f"Choose another name, or remove it: `wherry token rm {name}`.",
            )
        return token, record

    async def list_records(self, caller: Caller) -> Sequence[TokenRecord]:
        """What there is, by name.

        Raises:
            NotAllowed: if the caller may not know.
        """
        caller.expect_owner()
        return await self._store.list_records()

    async def remove(self, caller: Caller, name: str) -> TokenRecord:
        """Remove a token; from now on nobody is let in with it.

        Raises:
            NotAllowed: if the caller may not.
            TokenUnknown: if there is none of that name.
        """
        caller.expect_owner()
        removed = await self._store.remove(name)
        if removed is None:
            raise TokenUnknown(f"there is no token {name!r}", hint="`wherry token ls` shows those there are.")
        return removed


class FindCaller:
    """Finds who comes with a token."""

    def __init__(self, *, store: TokenStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, token: str) -> Caller | None:
        """None: the token is none of ours, was removed, or has expired."""
        if not token or len(token) > TOKEN_CHARACTERS_MAX:
            return None
        record = await self._store.find(token_hash(token))
        now = self._clock.now()
        if record is None or not record.counts_at(now):
            return None
        if record.use_is_worth_noting(now):
            await self._store.note_use(record.name, now)
        return Caller(record)
