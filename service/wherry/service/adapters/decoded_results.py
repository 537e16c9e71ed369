"""Results as they were decoded last: a pipeline that is submitted again finds the rows that it found before."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from wherry.service.ports.run_cache import Result

_Row = TypeVar("_Row", bound=Sequence[Any])

# Text of rows; what is decoded of it takes some five times as much memory.
_BYTES_MAX = 4 * 1024 * 1024


class DecodedResults(Generic[_Row]):
    """Decodes rows, and knows those of last time by all that stands in them: a row that changed is another one."""

    def __init__(self, decode: Callable[[_Row], Result], bytes_max: int = _BYTES_MAX) -> None:
        """Remember results whose rows have `bytes_max` characters together."""
        self._decode = decode
        self._bytes_max = bytes_max
        self._bytes = 0
        self._known: OrderedDict[tuple[Any, ...], Result] = OrderedDict()

    def __call__(self, row: _Row) -> Result:
        """What the row says."""
        content = tuple(row)
        known = self._known.get(content)
        if known is not None:
            self._known.move_to_end(content)
            return known
        result = self._known[content] = self._decode(row)
        self._bytes += _size(content)
        while self._bytes > self._bytes_max:
            forgotten, _ = self._known.popitem(last=False)
            self._bytes -= _size(forgotten)
        return result

    def __len__(self) -> int:
        """Count the results that are remembered."""
        return len(self._known)


def _size(content: tuple[Any, ...]) -> int:
    return sum(len(value) for value in content if isinstance(value, str))
