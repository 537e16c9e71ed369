"""Wherry's client: submit a DVC project, watch its run, bring results back.

    from wherry.client import Client, RunOptions, Selection

    with Client(folder="my-project") as client:
        run = client.submit(Selection(targets=["train"]), RunOptions())
        for event in client.watch(run.id):
            print(event)

It knows files and the protocol; what a dvc.yaml means is known to the service alone. Names are loaded on
first use, so that importing this package costs nothing.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "Client": "wherry.client.client",
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
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*_HOMES, "__version__"])
