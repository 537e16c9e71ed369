"""Paths that come over the wire, and the one place where they are checked.

A service must not be able to read or write outside the project's git working tree, nor below `.git` (whose hooks are programs) or
`.dvc` (whose local configuration holds secrets), not even through a symbolic link.
"""

import os
from pathlib import Path

from wherry.client.errors import ProtocolBroken

_PRIVATE_PARTS = frozenset({".git", ".dvc"})
_PATH_BYTES_MAX = 4096


def check_wire_path(text: str, levels: int = 0) -> str:
    """Take a path relative to the DVC root in canonical form; return it unchanged.

    Up to `levels` ".." parts may stand in front: as many as there are folders above the root in the git working tree.

    Raises:
        ProtocolBroken: if it is absolute, not canonical, leads further up, or has a `.git` or `.dvc` part.
    """
    parts = text.split("/")
    above = next((count for count, part in enumerate(parts) if part != ".."), len(parts))
    if above <= levels:
        parts = parts[above:] or [""]
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


def is_outside(text: str) -> bool:
    """Whether a path from the wire leads above the DVC root."""
    return text.startswith("../")


def place_inside(root: Path, text: str, levels: int = 0) -> Path:
    """Say where a path from the wire lies on this machine. Its last part is not followed if it is a link.

    Raises:
        ProtocolBroken: as check_wire_path, and if a link on the way leads out of the project (for a path above the
            DVC root: out of the git working tree) or to a private folder.
    """
    check_wire_path(text, levels)
    head, _, name = text.rpartition("/")
    real_root = Path(os.path.realpath(root))
    parent = Path(os.path.realpath(real_root / head))
    top = real_root.parents[levels - 1] if is_outside(text) else real_root
    if not _is_open(parent, top):
        raise ProtocolBroken(
            f"{text} would be written through a link that leads out of the project",
            hint=f"remove the link on the way to {text}, or make it a folder",
            reason="PATH_ESCAPES",
        )
    return parent / name


def find_outside(root: Path, text: str, levels: int) -> Path:
    """Say what lies at a path above the DVC root, links followed.

    Raises:
        ProtocolBroken: as check_wire_path, and if a link leads out of the git working tree or to a private folder.
    """
    check_wire_path(text, levels)
    real = Path(os.path.realpath(root / text))
    check_open(real, Path(os.path.realpath(root)).parents[levels - 1], text)
    return real


def check_open(real: Path, top: Path, shown: str) -> None:
    """See that a file above the DVC root, links followed, may be read for a service.

    Raises:
        ProtocolBroken: if it lies outside `top`, the git working tree, or in a private folder.
    """
    if not _is_open(real, top):
        raise ProtocolBroken(
            f"{shown} is or goes through a link to {real}, which stays on this machine",
            hint="put the file itself where the stage reads it",
            reason="PATH_ESCAPES",
        )


def _is_open(real: Path, top: Path) -> bool:
    inside = real == top or top in real.parents
    return inside and not any(part.casefold() in _PRIVATE_PARTS for part in real.relative_to(top).parts)
