"""How much of a disk a folder takes that a hostile program fills.

It may be nested deeper than any path goes and change while it is looked at: coreutils' `du` copes with both. Links
count once, sparse files by what they take.
"""

import subprocess
from pathlib import Path

from wherry.service.domain.errors import Unavailable

_TIMEOUT_S = 600


def folder_bytes(folder: Path) -> int:
    """Bytes on the disk of a folder with all that is in it, mounts left out.

    Raises:
        Unavailable: if there is no such folder, or no `du`.
    """
    command = ["du", "--summarize", "--block-size=1", "--one-file-system", "--", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unavailable(f"a workspace cannot be measured: {exc}") from exc
    # What vanished meanwhile makes it complain, and count the rest.
    size = done.stdout.partition(b"\t")[0]
    if not size.isdigit():
        raise Unavailable(f"a workspace cannot be measured: {done.stderr.decode(errors='replace').strip()}")
    return int(size)
