"""Run the service in the foreground: `python -m wherry.service`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog
from pydantic import ValidationError

from wherry.service.bootstrap.service import open_service
from wherry.service.config import Settings, SettingsFileWrong, read_settings
from wherry.service.domain.errors import WherryError

_EXIT_CONFIGURATION = 251
_EXIT_UNAVAILABLE = 69


def main() -> int:
    """Serve until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="wherry server",
        description="The Wherry service. Settings come from WHERRY_… variables; flags win.",
    )
    parser.add_argument("--home", type=Path, help="folder for all state")
    parser.add_argument("--listen", help="HOST:PORT for gRPC; port 0 picks one")
    parser.add_argument("--config", type=Path, help="settings as TOML; WHERRY_… variables win")
    flags = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    try:
        settings = read_settings(flags.pop("config", None), flags)
    except SettingsFileWrong as exc:
        sys.stderr.write(f"error: {exc}\n")
        return _EXIT_CONFIGURATION
    except ValidationError as exc:
        for problem in exc.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"error: WHERRY_{name}: {problem['msg']}\n")
        return _EXIT_CONFIGURATION
    _log_to_stderr()
    try:
        asyncio.run(_serve(settings))
    except WherryError as exc:
        sys.stderr.write(f"error: {exc.message}\n" + (f"  hint: {exc.hint}\n" if exc.hint else ""))
        return _EXIT_UNAVAILABLE
    return 0


def _log_to_stderr() -> None:
    """One event a line, for people and for machines: time, level, event, fields."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_service(settings):
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
