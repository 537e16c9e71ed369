"""A process that kills itself at one point, as a machine that loses its power would."""

import os
import signal

from wherry.service.ports.faults import Faults


class KillAt(Faults):
    """Sends SIGKILL to this process: nothing is put in order before."""

    def __init__(self, point: str) -> None:
        self._point = point

    def reach(self, point: str) -> None:
        """See the port."""
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)
