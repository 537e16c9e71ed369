"""Who comes with a token, and who may make one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.clock import FakeClock
from wherry.service.domain.errors import InvalidInput, NotAllowed, Precondition, TokenUnknown
from wherry.service.domain.tokens import TOKENS_MAX, Caller, TokenRecord, token_hash
from wherry.service.ports.tokens import TokenSource, TokenStore
from wherry.service.usecases.keep_tokens import FindCaller, KeepTokens

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OWNER = Caller()


class Store(TokenStore):
    def __init__(self) -> None:
        self.by_hash: dict[str, TokenRecord] = {}
        self.writes = 0

    async def add(self, record: TokenRecord, hash_: str) -> bool:
        if record.name in {known.name for known in self.by_hash.values()}:
            return False
        self.by_hash[hash_] = record
        return True

    async def list_records(self) -> Sequence[TokenRecord]:
        return sorted(self.by_hash.values(), key=lambda record: record.name)

    async def find(self, hash_: str) -> TokenRecord | None:
        return self.by_hash.get(hash_)

    async def note_use(self, name: str, now: datetime) -> None:
        self.writes += 1
        for hash_, known in self.by_hash.items():
            if known.name == name:
                self.by_hash[hash_] = replace(known, used_at=now)

    async def remove(self, name: str) -> TokenRecord | None:
        hash_ = next((hash_ for hash_, known in self.by_hash.items() if known.name == name), None)
        return None if hash_ is None else self.by_hash.pop(hash_)


class Counting(TokenSource):
    def __init__(self) -> None:
        self.made = 0

    def make(self) -> str:
        self.made += 1
        return f"wherry_{self.made}"


class World:
    def __init__(self) -> None:
        self.store = Store()
        self.clock = FakeClock()
        self.keep = KeepTokens(store=self.store, source=Counting(), clock=self.clock)
        self.find = FindCaller(store=self.store, clock=self.clock)

    def create(self, name: str, caller: Caller = OWNER, user: str = "", lifetime_s: int = 0) -> str:
        return asyncio.run(self.keep.create(caller, name=name, user=user, lifetime_s=lifetime_s))[0]

    def who(self, token: str) -> Caller | None:
        return asyncio.run(self.find(token))


@pytest.fixture
def world() -> World:
    return World()


def test_a_holder_comes_as_the_user_of_the_token(world: World) -> None:
    anas, jobs = world.create("ana"), world.create("nightly", user="ci")
    for token, user in ((anas, "ana"), (jobs, "ci")):
        caller = world.who(token)
        assert caller is not None
        assert caller.token is not None
        assert (caller.token.user, caller.is_owner) == (user, False)
    for wrong in ("", "wherry_3", token_hash(anas), "x" * 100_000, anas + "\0"):
        assert world.who(wrong) is None


def test_a_token_counts_until_its_end_and_not_after(world: World) -> None:
    token = world.create("a", lifetime_s=60)
    world.clock.advance(59)
    assert world.who(token) is not None
    world.clock.advance(1)
    assert world.who(token) is None


def test_what_is_removed_counts_no_more(world: World) -> None:
    token = world.create("a")
    assert asyncio.run(world.keep.remove(OWNER, "a")).name == "a"
    assert world.who(token) is None
    with pytest.raises(TokenUnknown, match="'a'"):
        asyncio.run(world.keep.remove(OWNER, "a"))


def test_a_use_is_noted_once_a_minute(world: World) -> None:
    token = world.create("a")
    for _ in range(3):
        world.who(token)
    assert world.store.writes == 1
    world.clock.advance(61)
    world.who(token)
    assert world.store.writes == 2
    assert asyncio.run(world.keep.list_records(OWNER))[0].used_at == NOW + timedelta(seconds=61)


def test_holders_of_a_token_make_see_and_remove_none(world: World) -> None:
    caller = world.who(world.create("a"))
    assert caller is not None
    with pytest.raises(NotAllowed, match="'a'"):
        world.create("b", caller)
    with pytest.raises(NotAllowed):
        asyncio.run(world.keep.list_records(caller))
    with pytest.raises(NotAllowed):
        asyncio.run(world.keep.remove(caller, "a"))


@pytest.mark.parametrize("name", ["", " a", "a b", "a\n", "-a", "ä", "a" * 65, "a/b"])
def test_names_are_plain(world: World, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name for a token"):
        world.create(name)
    with pytest.raises(InvalidInput, match="no name for a user") if name else pytest.raises(InvalidInput):
        world.create("" if not name else "fine", user=name)


@pytest.mark.parametrize("lifetime_s", [-1, 10**10])
def test_lifetimes_are_bounded(world: World, lifetime_s: int) -> None:
    with pytest.raises(InvalidInput, match=str(lifetime_s)):
        world.create("a", lifetime_s=lifetime_s)


def test_a_name_is_taken_once_and_there_are_not_endlessly_many(world: World) -> None:
    world.create("a")
    with pytest.raises(Precondition, match="called 'a'"):
        world.create("a")
    for number in range(TOKENS_MAX - 1):
        world.store.by_hash[str(number)] = TokenRecord(name=f"t{number}", user="u", created_at=NOW)
    with pytest.raises(Precondition, match=str(TOKENS_MAX)):
        world.create("b")
