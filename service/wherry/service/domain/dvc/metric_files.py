"""Which files DVC takes as metrics: those that look like text at their beginning."""

# DVC looks no further.
METRIC_HEAD_BYTES = 512

_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_OTHER_SHARE_MAX = 0.3


def looks_textual(head: bytes) -> bool:
    """Whether a file that begins so can be metrics: without NUL, and mostly of plain ASCII; an empty one can."""
    if b"\0" in head:
        return False
    others = len(head.translate(None, _TEXT))
    return others <= _OTHER_SHARE_MAX * len(head)
