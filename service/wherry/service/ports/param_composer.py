"""Parameters as Hydra makes them."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class ParamComposer(Protocol):
    """Hydra itself, kept away from the service: it reads what strangers submit.

    Every method raises InvalidInput for what Hydra refuses, what would read the service's machine, and what does not
    come to an end within bounds.
    """

    async def set_params(self, data: bytes, path: str, overrides: Sequence[str]) -> bytes:
        """Apply overrides to a parameters file, in order, with all of Hydra's grammar and interpolations."""
        ...

    async def compose(self, files: Mapping[str, bytes], config_name: str, overrides: Sequence[str]) -> bytes:
        """Compose a configuration, and give it resolved, as YAML.

        `files` are all that there is, by path below the folder of configurations.
        """
        ...

    async def expand(self, set_params: Sequence[str]) -> list[tuple[str, ...]]:
        """Expand sweeps over values into lists of changes `[FILE:]OVERRIDE`, one for each run."""
        ...
