"""Find out whether a store can do what Wherry needs of it, by doing it with small objects."""

import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wherry.service.domain.errors import StoreUnavailable, WherryError
from wherry.service.domain.findings import Finding, FindingState
from wherry.service.ports.store_probe import StoreProbe

ONLY_NEW = "store.only_new"
"""The finding that tells whether a writer can be kept from replacing what is there."""

_CONTENT = b"Wherry looks whether this store can keep what it is given.\n"
_OTHER = b"Other content of the same length must not come back as it.\n"


_HINT_KEYS = "Check the bucket's name, and that the service's keys may read, write, list and delete there."
_HINT_STORE = "Wherry needs a store with this part of S3."
_HINT_MD5 = "The service checks what passes through it; do not let anybody else write to this bucket."
_HINT_SIGNED = "Content then passes through the service, which is slower. Check the clocks, and a proxy before the store."
_HINT_NEW = (
    "Of two different contents with one MD5, which are made on purpose, the last stays instead of the first."
)
_HINT_COPY = "The service looks before it copies; do not let anybody else write to this bucket."


@dataclass(frozen=True, slots=True)
class _Check:
    """One ability of a store."""

    name: str
    ability: str
    is_there: Callable[[str], Awaitable[bool]]
    """Takes the prefix to work below."""
    hint: str
    is_required: bool = True


class CheckStore:
    """Checks a store. What it writes lies below `wherry/check/` and is removed again."""

    def __init__(self, probe: StoreProbe, chance: random.Random) -> None:
        """Try the store behind `probe`, at keys drawn with `chance`."""
        self._probe = probe
        self._chance = chance
        self._checks = (
            _Check("store.put", "keeps an object and gives it back", self._puts, _HINT_KEYS),
            _Check("store.list", "lists keys by prefix, with sizes", self._lists, _HINT_KEYS),
            _Check("store.ranges", "gives parts of an object", self._ranges, _HINT_STORE),
            _Check("store.multipart", "takes an object in parts", self._parts, _HINT_STORE),
            _Check("store.delete", "removes an object", self._deletes, _HINT_KEYS),
            _Check("store.md5", "refuses a body without its Content-MD5", self._md5, _HINT_MD5, False),
            _Check("store.signed", "takes a signed upload", self._signed, _HINT_SIGNED, False),
            _Check("store.signed_md5", "refuses other content by it", self._signed_md5, _HINT_MD5, False),
            _Check(ONLY_NEW, "does not overwrite with If-None-Match", self._only_new, _HINT_NEW, False),
            _Check("store.only_new_copy", "nor where it copies", self._only_new_copy, _HINT_COPY, False),
        )

    async def __call__(self) -> tuple[Finding, ...]:
        """Try everything, one finding each; only the first when the store keeps nothing at all."""
        prefix = f"wherry/check/{self._chance.getrandbits(64):016x}"
        try:
            first = await self._try(self._checks[0], prefix)
            if first.state is FindingState.FAILED:
                return (first,)
            return (first, *[await self._try(check, prefix) for check in self._checks[1:]])
        finally:
            await self._tidy(prefix)

    async def _try(self, check: _Check, prefix: str) -> Finding:
        try:
            is_there = await check.is_there(f"{prefix}/{check.name}")
        except WherryError as exc:
            state, said, hint = False, exc.message, exc.hint or check.hint
        else:
            state, said, hint = is_there, f"the store does not: it {check.ability}", check.hint
        if state:
            return Finding(name=check.name, state=FindingState.OK, message=f"the store {check.ability}")
        lacking = FindingState.FAILED if check.is_required else FindingState.WARNING
        return Finding(name=check.name, state=lacking, message=said, hint=hint)

    async def _tidy(self, prefix: str) -> None:
        try:
            for key in await self._probe.list_sizes(prefix):
                await self._probe.delete(key)
        except StoreUnavailable:
            return  # the findings say so already

    async def _puts(self, key: str) -> bool:
        await self._probe.put(key, _OTHER)
        is_kept = await self._probe.put(key, _CONTENT, md5=_md5(_CONTENT))
        return (
            is_kept and await self._probe.get(key) == _CONTENT and await self._probe.get(key + "-no") is None
        )

    async def _lists(self, key: str) -> bool:
        wanted = {f"{key}/a b+é": _CONTENT, f"{key}/c": b""}
        for name, content in wanted.items():
            await self._probe.put(name, content)
        return await self._probe.list_sizes(f"{key}/") == {name: len(data) for name, data in wanted.items()}

    async def _ranges(self, key: str) -> bool:
        await self._probe.put(key, _CONTENT)
        return await self._probe.get_range(key, 7, 11) == _CONTENT[7:12]

    async def _parts(self, key: str) -> bool:
        await self._probe.put_in_parts(key, [_CONTENT])
        return await self._probe.get(key) == _CONTENT

    async def _deletes(self, key: str) -> bool:
        await self._probe.put(key, _CONTENT)
        await self._probe.delete(key)
        await self._probe.delete(key)
        return await self._probe.get(key) is None

    async def _md5(self, key: str) -> bool:
        return not await self._probe.put(key, _OTHER, md5=_md5(_CONTENT))

    async def _signed(self, key: str) -> bool:
        taken = await self._probe.put_presigned(key, _CONTENT, signed_md5=_md5(_CONTENT))
        return taken and await self._probe.get(key) == _CONTENT

    async def _signed_md5(self, key: str) -> bool:
        return not await self._probe.put_presigned(key, _OTHER, signed_md5=_md5(_CONTENT))

    async def _only_new(self, key: str) -> bool:
        await self._probe.put(key, _CONTENT)
        is_taken = await self._probe.put(key, _OTHER, only_new=True)
        return not is_taken and await self._probe.get(key) == _CONTENT

    async def _only_new_copy(self, key: str) -> bool:
        await self._probe.put(key, _CONTENT)
        await self._probe.put(key + "-other", _OTHER)
        is_taken = await self._probe.copy_new(key + "-other", key)
        return not is_taken and await self._probe.get(key) == _CONTENT


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
