"""Settle which of two contents of one MD5 gets the name, before an object is made of parts or of a copy.

A store decides between two single requests with If-None-Match; between two objects that are made of parts at the same
time not every store does (SeaweedFS looks first and writes then). So whoever is about to make one first writes the
SHA-256 of its content, in one request, to a key of ours: the content that is named there may go on, no other.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.errors import HashCollision
from wherry.service.ports.objects import ObjectStore

STAGING = "wherry/staging/"
"""Where content lies that has no name yet, and claims; what stays there too long is swept away."""


class ClaimContent:
    """Claims the name of a blob for one content."""

    def __init__(self, objects: ObjectStore) -> None:
        """Keep claims in the bucket: it may be shared by services with databases of their own."""
        self._objects = objects

    @asynccontextmanager
    async def __call__(self, blob: BlobHash, sha256: str) -> AsyncIterator[None]:
        """Hold the claim while the object is made; look within whether there is one already, and compare.

        After any other failure the claim stays, for another process may be at the same content, until it is swept away.

        Raises:
            HashCollision: if another content has the claim.
        """
        key, claim = f"{STAGING}{blob}.claim", sha256.encode()
        while not await self._objects.put_new(key, claim, md5=hash_content(claim)):
            found = await self._objects.get(key)
            if found == claim:
                break
            if found is not None:
                raise collision(blob, found=found.decode(errors="replace"), wanted=sha256)
            # Whoever had it is done: the object is there now, and whose content it is will be seen.
        try:
            yield
        except HashCollision:
            # Another content has the name already: whoever is at the same content will be told that as well.
            await self._objects.delete(key)
            raise
        await self._objects.delete(key)


def collision(blob: BlobHash, *, found: str, wanted: str) -> HashCollision:
    """Say that the store has something else under a name."""
    return HashCollision(
        f"the store has another content under {blob}: SHA-256 {found}, not {wanted}",
        hint="Two different contents with one MD5 are made on purpose. Change one of the files.",
    )
