"""Asking which of many blobs a service lacks, of a service of today and of an older one."""

from collections.abc import Iterator

import pytest

from tests.integration.client.fake_service import FakeService
from wherry.client.address import Endpoint
from wherry.client.connection import Connection
from wherry.client.missing import find_missing


@pytest.fixture
def connection(service: FakeService) -> Iterator[Connection]:
    endpoint = Endpoint(target=service.address.removeprefix("grpc://"), secure=False)
    opened = Connection(lambda: endpoint, user="ana")
    yield opened
    opened.close()


@pytest.mark.parametrize("is_older", [False, True], ids=["today", "older"])
def test_what_is_missing_is_found_in_as_many_calls_as_it_takes_of_older_services_too(
    service: FakeService, connection: Connection, is_older: bool
) -> None:
    service.script.knows_no_hashes = is_older
    held = [service.hold(f"{number}".encode()) for number in range(1_000)]
    tree = service.hold_tree({"a": b"0", "b": b"1"})
    absent = [f"{number:032x}" for number in range(60_000)] + ["0" * 32 + ".dir"]

    missing = find_missing(connection, [*absent, *held, tree, *absent[:10]])

    assert missing == set(absent)
    assert find_missing(connection, held, sources=True) == set()
    assert find_missing(connection, []) == set()
