"""Two contents with one MD5, short and long."""

# Two messages with one MD5, as X. Wang and H. Yu published them ("How to Break MD5 and Other Hash Functions",
# EUROCRYPT 2005): the second differs from the first in the top bits of six bytes. MD5 works through a content block by
# block, so what both are followed by does not matter.
COLLIDING = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89"
    "55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b"
    "d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
COLLIDES_WITH_IT = bytes(
    byte ^ 0x80 if at in {19, 45, 59, 83, 109, 123} else byte for at, byte in enumerate(COLLIDING)
)


def colliding_pair(size_bytes: int) -> tuple[bytes, bytes]:
    """Two contents of this length with one MD5."""
    same = bytes(size_bytes - len(COLLIDING))
    return COLLIDING + same, COLLIDES_WITH_IT + same
