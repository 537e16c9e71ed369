"""Files of plots: tables and structured files become values; images stay what they are."""

import csv
import io
import posixpath

from wherry.service.domain.dvc.tracked_values import Unreadable, Value, read_values
from wherry.service.domain.paths import ProjectPath

_IMAGES = frozenset({".jpg", ".jpeg", ".gif", ".png", ".svg"})
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_STRUCTURED = frozenset({".json", ".yaml", ".yml", ".toml", ".py"})


def is_image(path: str) -> bool:
    """Tell whether a plot is an image, by its name."""
    return posixpath.splitext(path)[1] in _IMAGES


def read_plot_data(data: bytes, path: ProjectPath, *, header: bool) -> Value | Unreadable:
    """Read a file of data points; without `header` the columns of a table are numbered."""
    suffix = posixpath.splitext(path)[1]
    if suffix in _STRUCTURED:
        return read_values(data, path)
    if suffix not in _DELIMITERS:
        return Unreadable(
            kind="PlotMetricTypeError",
            message=f"'{path}' - file type error\nOnly JSON, YAML, CSV and TSV formats are supported.",
        )
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Unreadable(kind="EncodingError", message=f"unable to read: {path!r}, is not valid utf8")
    try:
        return Value(_read_table(text, _DELIMITERS[suffix], header=header))
    except csv.Error as exc:
        return Unreadable(kind="Error", message=f"unable to read: {path!r}, {exc}")


def _read_table(text: str, delimiter: str, *, header: bool) -> list[dict[str, str]]:
    names = None
    if not header:
        first = next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
        names = [str(number) for number in range(len(first))]
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, fieldnames=names)
    return [{name: value for name, value in row.items() if isinstance(name, str)} for row in rows]
