"""The form of packs: what was put in is found at its place, and what is no pack is refused."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.blob import hash_content
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.pack import is_intact, make_pack, read_pack


def pack_of(*bodies: bytes) -> bytes:
    return make_pack(
        [(hash_content(body), hashlib.sha256(body).hexdigest(), body) for body in bodies]
    ).content


@given(bodies=st.lists(st.binary(max_size=200), max_size=20))
def test_a_pack_says_what_is_in_it_and_where(bodies: list[bytes]) -> None:
    content = pack_of(*bodies)
    members = read_pack(content)
    assert [member.content_in(content) for member in members] == bodies
    assert all(is_intact(member, body) for member, body in zip(members, bodies, strict=True))


def test_the_same_files_make_the_same_pack() -> None:
    named = [(hash_content(body), hashlib.sha256(body).hexdigest(), body) for body in (b"a", b"bb")]
    one, other = make_pack(named), make_pack(named)
    assert one == other
    assert one.name == hashlib.sha256(one.content).hexdigest()
    assert one.members == read_pack(one.content)


def test_a_changed_member_is_noticed() -> None:
    content = pack_of(b"one", b"two")
    members = read_pack(content)
    changed = content[:-1] + b"X"
    assert [is_intact(member, member.content_in(changed)) for member in members] == [True, False]


def _with_members(members: object, rest: bytes = b"") -> bytes:
    return json.dumps({"schema": "wherry.pack/1", "members": members}).encode() + b"\n" + rest


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]\n",
        b"{}\n",
        b'{"schema": "wherry.pack/2", "members": []}\n',
        b"[" * 100_000,
        pack_of(b"one")[:-1],
        pack_of(b"one") + b"more",
        _with_members(None),
        _with_members([[1, 2, 3]]),
        _with_members([["a" * 32, "b" * 64]]),
        _with_members([["a" * 32, "b" * 64, "1"]], b"x"),
        _with_members([["a" * 32, "b" * 64, True]], b"x"),
        _with_members([["a" * 32 + ".dir", "b" * 64, 1]], b"x"),
        _with_members([["a" * 32, "b" * 63, 1]], b"x"),
        _with_members([["../../../etc", "b" * 64, 1]], b"x"),
        _with_members([["a" * 32, "b" * 64, 2], ["c" * 32, "b" * 64, -1]], b"x"),
        _with_members([["a" * 32, "b" * 64, 0]] * 10_000),
    ],
)
def test_what_is_no_pack_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_pack(content)
