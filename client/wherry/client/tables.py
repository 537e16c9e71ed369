"""Tables as DVC prints them: plain columns, Markdown, and CSV."""

import csv
import io
import unicodedata
from collections.abc import Collection, Sequence

Rows = Sequence[Sequence[str]]

# A header is followed by two spaces more than other cells.
_HEADER_ROOM = 2


def plain_table(header: Sequence[str], rows: Rows) -> str:
    """Lay out columns with two spaces between them."""
    widths = _widths(header, rows)
    lines = [line for row in (header, *rows) for line in _split(row)]
    return "\n".join("  ".join(map(_pad, line, widths)).rstrip() for line in lines)


def markdown_table(header: Sequence[str], rows: Rows) -> str:
    """Write a table of GitHub's Markdown; a table needs the line after it."""
    widths = _widths(header, rows)
    lines = [f"| {' | '.join(map(_pad, row, widths))} |" for row in (header, *rows)]
    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([lines[0], rule, *lines[1:], ""])


def csv_table(header: Sequence[str], rows: Rows) -> str:
    """Write comma-separated values, with the line ends of RFC 4180."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def width_of(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _widths(header: Sequence[str], rows: Rows) -> list[int]:
    return [
        max(
            [
                width_of(name) + _HEADER_ROOM,
                *(width_of(part) for row in rows for part in row[index].split("\n")),
            ]
        )
        for index, name in enumerate(header)
    ]


def _pad(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def _split(row: Sequence[str]) -> list[list[str]]:
    """Rows of cells with several lines take several lines."""
    cells = [cell.split("\n") for cell in row]
    height = max(map(len, cells), default=1)
    return [[cell[index] if index < len(cell) else "" for cell in cells] for index in range(height)]


def ruled_table(header: Sequence[str], rows: Rows, *, right: Collection[str] = ()) -> str:
    """Lay out columns between rules, as DVC does for experiments; columns named in `right` stand to the right."""
    widths = [
        max([width_of(name), *(width_of(row[index]) for row in rows)]) for index, name in enumerate(header)
    ]
    rule = f" {'─' * (sum(widths) + 3 * len(widths) - 1)} "

    def line(row: Sequence[str]) -> str:
        cells = [
            " " * (width - width_of(cell)) + cell if name in right else _pad(cell, width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        return f"  {'   '.join(cells)}  "

    return "\n".join([rule, line(header), rule, *map(line, rows), rule])
