"""Real parts that many tests share: an S3 server, a bucket, a database."""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from tests import ports
from tests.postgres_cluster import PostgresCluster
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.database import Database
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

# Files that take long first, so that no process has one to itself at the end: units take milliseconds.
_ORDER = ("e2e", "conformance", "contract", "integration", "unit")

# Hypothesis fails what takes longer than a fifth of a second, or is slow to draw: on a busy machine anything does. What is
# drawn is the same everywhere and each time.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring folders into that order; within one nothing moves."""
    # Else Hypothesis draws from the literals of all modules that happen to be loaded: other examples in each process and
    # after each change. And it reads all of them for that.
    providers._get_local_constants = lambda: providers._local_constants
    root = Path(__file__).parent
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(root).parts[0]))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Tell of what fails when it fails: the summary comes a quarter of an hour later, and never if the run is cut off."""
    # Who was started in the background ignores Ctrl-C, and so would the programs that tests send it to.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FailuresAtOnce(config.pluginmanager.getplugin("terminalreporter")))


class _FailuresAtOnce:
    """Writes a failed test's name and the lines of its error where the dots are written."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_line(f"\n{report.when} of {report.nodeid} failed\n{report.longreprtext}")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """A running S3 server, one for all tests: use a bucket or a prefix of your own."""
    server = SeaweedServer(tmp_path_factory.mktemp("s3"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
def s3_settings(s3_server: SeaweedServer) -> S3Settings:
    """A place in the server's one bucket that no other test uses. The bucket may not exist yet."""
    return S3Settings(
        bucket="wherry-tests",
        prefix=uuid.uuid4().hex,
        endpoint_url=s3_server.endpoint,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
    )


@pytest.fixture
def object_store(s3_settings: S3Settings) -> Iterator[S3ObjectStore]:
    """An empty store on the real S3 server."""
    store = S3ObjectStore.connect(s3_settings)
    asyncio.run(store.ensure_bucket())
    yield store
    asyncio.run(store.close())


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Where an empty SQLite database is."""
    return f"sqlite:///{tmp_path / 'wherry.sqlite'}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresCluster]:
    """A PostgreSQL cluster of our own, on a socket in a temporary folder: no port, no other user of it."""
    with PostgresCluster.started(tmp_path_factory.mktemp("pg")) as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: PostgresCluster) -> str:
    """Where an empty PostgreSQL database is."""
    return postgres.new_database()


@pytest.fixture(params=["database_url", "postgres_url"])
def any_database_url(request: pytest.FixtureRequest) -> str:
    """Where an empty database is, of each kind that the service takes."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(params=["sqlite_database", "postgres_database"])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database with all tables, of each kind."""
    opened = request.getfixturevalue(request.param)
    assert isinstance(opened, Database)
    return opened


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[Database]:
    """An empty PostgreSQL database with all tables."""
    opened = asyncio.run(Database.open(postgres_url))
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
def sqlite_database(database_url: str) -> Iterator[Database]:
    """An empty SQLite database with all tables, for what only SQLite has."""
    opened = asyncio.run(Database.open(database_url))
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    return ports.unused_port()
