"""Whether stages have a network: what the operator says, and what can be guarded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """What a service gives to stages."""

    default: bool = True
    """Whether stages that do not say have one."""
    withheld: str = ""
    """Why no stage has one, whatever it says; empty: they may."""
    hint: str = ""
    """What an operator can do about it."""

    def gives(self, wanted: bool | None) -> tuple[bool, str]:  # noqa: FBT001 - the one thing that is asked
        """Whether a stage has a network that wants one (None: does not say), and why it has none though it would."""
        wants = self.default if wanted is None else wanted
        return wants and not self.withheld, self.withheld if wants else ""
