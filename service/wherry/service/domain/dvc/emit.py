"""YAML as DVC 3.67 edits and writes it: ruamel.yaml in round-trip mode, width 80, block style.

The bytes depend on the release of ruamel.yaml, so that is pinned. Reading is yaml12.py's: this is ten times
slower and keeps comments.
"""

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wherry.service.domain.errors import PipelineInvalid, Place


def load_for_edit(data: bytes, path: str) -> Any:
    """Load a document so that its comments, order and spelling survive `dump_yaml`.

    Raises:
        PipelineInvalid: if it cannot be read.
    """
    try:
        return YAML(typ="rt").load(data.decode())
    except (YAMLError, ValueError, UnicodeDecodeError) as exc:
        mark = getattr(exc, "problem_mark", None)
        place = Place(path=path, line=mark.line + 1, column=mark.column + 1) if mark else Place(path=path)
        raise PipelineInvalid("this is not valid YAML", place=place) from exc


def dump_yaml(value: Any) -> bytes:
    """Write a value as DVC writes dvc.lock, its run cache and parameters."""
    writer = YAML()
    writer.default_flow_style = False
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue().encode()
