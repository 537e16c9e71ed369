"""Projects as DVC 2 left them, made out of what DVC 3 left."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path


def make_legacy(folder: Path, data: Iterable[str], files: Iterable[str]) -> None:
    """Write locks and .dvc files anew, and lay out the cache, as DVC 2 would have.

    `data` are the files and folders that they record; `files` are the locks and .dvc files.
    """
    hashes = {new: old for old, new in (_keep(folder, path) for path in data)}
    for name in files:
        text = re.sub(r"^ *hash: md5\n", "", (folder / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
        for new, old in hashes.items():
            text = text.replace(new, old)
        (folder / name).write_text(text, encoding="utf-8")
    for kind in ("files", "runs"):
        shutil.rmtree(folder / ".dvc/cache" / kind, ignore_errors=True)


def _dvc_2(content: bytes) -> str:
    return hashlib.md5(content.replace(b"\r\n", b"\n")).hexdigest()


def _keep(folder: Path, path: str) -> tuple[str, str]:
    """Put data into the cache of DVC 2; return its hash there and that of DVC 3."""
    target = folder / path
    if target.is_file():
        content = target.read_bytes()
        _put(folder, _dvc_2(content), content)
        return _dvc_2(content), hashlib.md5(content).hexdigest()
    old, new = [], []
    for file in sorted(target.rglob("*")):
        if file.is_file():
            name = file.relative_to(target).as_posix()
            hashes = _keep(folder, f"{path}/{name}")
            old.append({"md5": hashes[0], "relpath": name})
            new.append({"md5": hashes[1], "relpath": name})
    contents = [json.dumps(sorted(some, key=lambda one: one["relpath"])).encode() for some in (old, new)]
    names = [f"{hashlib.md5(content).hexdigest()}.dir" for content in contents]
    _put(folder, names[0], contents[0])
    return names[0], names[1]


def _put(folder: Path, name: str, content: bytes) -> None:
    cached = folder / ".dvc/cache" / name[:2] / name[2:]
    cached.parent.mkdir(parents=True, exist_ok=True)
    if not cached.exists():
        cached.write_bytes(content)
        cached.chmod(0o444)
