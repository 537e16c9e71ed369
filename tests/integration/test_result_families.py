"""A database of the first version, with results in it, is brought to the second: nothing is lost."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from wherry.service.adapters.database import Database
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.explanation import Circumstances, Family
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ROOT
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.task import RunId, StrictKey
from wherry.service.ports.run_cache import Result

_OLD = Result(
    key=StrictKey("ab" * 32),
    entry=StageEntry(
        cmd="make o",
        deps=(),
        params={"params.yaml": {"lr": 0.1}},
        outs=(FileEntry(path="o", hash=BlobHash("1" * 32), size_bytes=3),),
    ),
    run_id=RunId("7"),
    user="ada",
    image="sha256:aa",
    wall_s=1.5,
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


def _make_first_version(url: str) -> None:
    """The tables of migration 0001, with one result as that version wrote it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "wherry.service.adapters:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        entry = {
            "cmd": "make o",
            "deps": [],
            "params": [["params.yaml", [["lr", 0.1]]]],
            "outs": [{"path": "o", "hash": "1" * 32, "size_bytes": 3, "nfiles": None, "executable": False}],
        }
        statement = text(
            'INSERT INTO results ("key", entry, run_id, "user", image, wall_s, created_at)'
            " VALUES (:key, :entry, '7', 'ada', 'sha256:aa', 1.5, '2026-01-02 03:04:05+00:00')"
            if engine.dialect.name == "postgresql"
            else 'INSERT INTO results ("key", entry, run_id, "user", image, wall_s, created_at)'
            " VALUES (:key, :entry, '7', 'ada', 'sha256:aa', 1.5, '2026-01-02 03:04:05.000000')"
        )
        connection.execute(statement, {"key": _OLD.key, "entry": json.dumps(entry)})
    engine.dispose()


def test_results_of_the_first_version_are_still_found_and_can_be_replaced(any_database_url: str) -> None:
    _make_first_version(any_database_url)
    family = Family("fa" * 32)
    new = replace(
        _OLD,
        run_id=RunId("8"),
        family=family,
        circumstances=Circumstances(
            wdir=ROOT,
            outs=(),
            environment={},
            image=Image(name="i", digest="sha256:aa", platform="linux/amd64"),
            network=True,
        ),
    )

    async def migrate_and_use() -> None:
        database = await Database.open(any_database_url)
        try:
            cache = SqlRunCache(database)
            assert list(await cache.find(_OLD.key)) == [_OLD]
            assert list(await cache.list_family(family, limit=9)) == []
            await cache.publish(new)
            assert list(await cache.find(_OLD.key)) == [new]
            assert list(await cache.list_family(family, limit=9)) == [new]
        finally:
            await database.close()

    asyncio.run(migrate_and_use())
