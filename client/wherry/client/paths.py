"""Paths that come over the wire, and the one place where they are checked.

A service must not be able to read or write outside the project, nor below `.git` (whose hooks are programs) or
`.dvc` (whose local configuration holds secrets), not even through a symbolic link.
"""

import os
from pathlib import Path

from wherry.client.errors import ProtocolBroken

_PRIVATE_PARTS = frozenset({".git", ".dvc"})
_PATH_BYTES_MAX = 4096


def check_wire_path(text: str) -> str:
    """Take a path relative to the DVC root in canonical form; return it unchanged.

    Raises:
        ProtocolBroken: if it is absolute, not canonical, or has a `.git` or `.dvc` part.
    """
    parts = text.split("/")
    canonical = bool(text) and not any(part in {"", ".", ".."} for part in parts)
    # Case is folded because some file systems do.
    private = any(part.casefold() in _PRIVATE_PARTS for part in parts)
    foreign = os.sep == "\\" and ("\\" in text or ":" in text)
    usable = "\0" not in text and len(os.fsencode(text)) <= _PATH_BYTES_MAX
    if not canonical or private or foreign or not usable:
        raise ProtocolBroken(
            f"the service names a path that it may not touch: {text[:80]!r}",
            hint="nothing was written there; check that the service is the one you mean",
            reason="PATH_ESCAPES",
        )
    return text


def place_inside(root: Path, text: str) -> Path:
    """Say where a path from the wire lies on this machine. Its last part is not followed if it is a link.

    Raises:
        ProtocolBroken: as check_wire_path, and if a link on the way leads out of the project or to a
            private folder.
    """
    check_wire_path(text)
    head, _, name = text.rpartition("/")
    real_root = Path(os.path.realpath(root))
    parent = Path(os.path.realpath(real_root / head))
    inside = parent == real_root or real_root in parent.parents
    if not inside or any(part.casefold() in _PRIVATE_PARTS for part in parent.relative_to(real_root).parts):
        raise ProtocolBroken(
            f"{text} would be written through a link that leads out of the project",
            hint=f"remove the link on the way to {text}, or make it a folder",
            reason="PATH_ESCAPES",
        )
    return parent / name
