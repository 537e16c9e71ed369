"""Wherry's own key of a stage's result: a hit is sound only if everything that counts is in it.

Unlike DVC's run cache it leaves no parameter out, and it counts the working folder, what the container gets and what
it runs on. The key is over a canonical JSON; KEY_VERSION changes whenever that does, so that old results are left
alone rather than misread.
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.records import FileEntry, Params
from wherry.service.domain.task import StrictKey

KEY_VERSION = 1

# Made once: `json.dumps` with an option makes one for each call.
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def strict_key(  # noqa: PLR0913 - every part of a key has its name
    stage: Stage,
    *,
    deps: Sequence[FileEntry],
    params: Params,
    environment: Mapping[str, str],
    image: Image,
    network: bool,
    ignored: str = "",
    previous: Mapping[str, FileEntry | None] = MappingProxyType({}),
    root_at: ProjectPath = ROOT,
) -> StrictKey:
    """Name the result of a stage with these inputs, 64 hex digits. The order of deps and params does not matter.

    `ignored` names the project's .dvcignore patterns, empty when there is none: they decide what of a folder is an
    output. `previous` is what persistent outputs were before, by path: the stage goes on from there. `root_at` is where in its repository
    the project lies: the stage sees that as it sees its wdir. The stage's name, its description and the name under which somebody wrote the image are no part of the key.
    """
    outs = [[out.path, out.kind.value, out.cache] for out in stage.outs]
    content = {
        "version": KEY_VERSION,
        "cmd": stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd),
        "wdir": posixpath.normpath(posixpath.join(root_at, stage.wdir)),
        "deps": sorted([dep.path, dep.hash, dep.executable] for dep in deps),
        "params": _canonical(params),
        "outs": sorted(outs),
        "environment": dict(environment),
        "image": {"digest": image.digest, "platform": image.platform},
        "network": network,
    }
    if ignored:
        content["ignored"] = ignored
    if previous:
        content["previous"] = sorted(
            [path, None if before is None else [before.hash, before.executable]]
            for path, before in previous.items()
        )
    return StrictKey(hashlib.sha256(_JSON.encode(content).encode()).hexdigest())


def _canonical(value: Any) -> Any:
    """Turn mappings into sorted pairs: JSON's own objects would take the keys 1 and "1" for one."""
    if isinstance(value, Mapping):
        return {"mapping": sorted([json.dumps(key), _canonical(inner)] for key, inner in value.items())}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return value
