"""Lines of output as JSON: one object a line, whose first key is the stage."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from wherry.service.ports.logs import LogStream, NewLine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_line(line: NewLine) -> bytes:
    """Write one line of ASCII, the stage first. Bytes that are not UTF-8 are kept in base64."""
    record: dict[str, Any] = {
        "stage": line.stage,
        "us": (line.time - _EPOCH) // _MICROSECOND,
        "stream": line.stream.value,
    }
    try:
        record["text"] = line.text.decode()
    except UnicodeDecodeError:
        record["base64"] = base64.b64encode(line.text).decode()
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def decode_line(data: bytes) -> NewLine:
    """Read what encode_line wrote."""
    record = json.loads(data)
    text = record["text"].encode() if "text" in record else base64.b64decode(record["base64"])
    return NewLine(
        time=_EPOCH + record["us"] * _MICROSECOND,
        stage=record["stage"],
        stream=LogStream(record["stream"]),
        text=text,
    )
