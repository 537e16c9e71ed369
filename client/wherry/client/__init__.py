"""Wherry's client: submit a DVC project, watch its run, bring results back.

    from wherry.client import Client, RunOptions, Selection

    with Client(folder="my-project") as client:
        run = client.repro("train")
        print(run.state, run.metrics)

docs/sdk.md shows it. It knows files and the protocol; what a dvc.yaml means is known to the service alone. Names are
loaded on first use, so that importing this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

# What a type checker reads; at run time _HOMES says the same, which a test holds against it.
if TYPE_CHECKING:
    from wherry.client.answers import Status, Why
    from wherry.client.async_client import AsyncClient
    from wherry.client.async_run import AsyncRun
    from wherry.client.client import Client
    from wherry.client.editing import NewOutput, NewStage
    from wherry.client.errors import ClientError
    from wherry.client.progress import Progress, Silent
    from wherry.client.results import ApplyReport, PullReport
    from wherry.client.run import Run
    from wherry.client.run_facts import Line, Stage
    from wherry.client.selection import RunOptions, Selection
    from wherry.client.watching import ConnectionBack, ConnectionLost, Output, RunChanged, StageChanged

__all__ = [
    "ApplyReport",
    "AsyncClient",
    "AsyncRun",
    "Client",
    "ClientError",
    "ConnectionBack",
    "ConnectionLost",
    "Line",
    "NewOutput",
    "NewStage",
    "Output",
    "Progress",
    "PullReport",
    "Run",
    "RunChanged",
    "RunOptions",
    "Selection",
    "Silent",
    "Stage",
    "StageChanged",
    "Status",
    "Why",
]

__version__ = "0.1.0"

_HOMES = {
    "Client": "wherry.client.client",
    "AsyncClient": "wherry.client.async_client",
    "Run": "wherry.client.run",
    "AsyncRun": "wherry.client.async_run",
    "Stage": "wherry.client.run_facts",
    "Line": "wherry.client.run_facts",
    "RunOptions": "wherry.client.selection",
    "Selection": "wherry.client.selection",
    "NewStage": "wherry.client.editing",
    "NewOutput": "wherry.client.editing",
    "Progress": "wherry.client.progress",
    "Silent": "wherry.client.progress",
    "RunChanged": "wherry.client.watching",
    "StageChanged": "wherry.client.watching",
    "Output": "wherry.client.watching",
    "ConnectionLost": "wherry.client.watching",
    "ConnectionBack": "wherry.client.watching",
    "ApplyReport": "wherry.client.results",
    "PullReport": "wherry.client.results",
    "ClientError": "wherry.client.errors",
    "Status": "wherry.client.answers",
    "Why": "wherry.client.answers",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*_HOMES, "__version__"])
