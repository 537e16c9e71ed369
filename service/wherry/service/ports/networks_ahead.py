"""Networks that are made before a container needs one."""

from typing import Protocol


class NetworksAhead(Protocol):
    """What can make them."""

    async def make_network_ahead(self) -> None:
        """Make one where one is lacking and nothing else begins; else do nothing, at once.

        Raises:
            EngineUnavailable: if the engine is not reached.
        """
        ...
