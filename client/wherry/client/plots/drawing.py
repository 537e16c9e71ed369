"""Plots as PNG and SVG files, by a renderer of Vega-Lite that needs no browser: the extra `plots`."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from wherry.client.errors import BadConfiguration, ClientError
from wherry.client.plots.filling import fill
from wherry.client.plots.gathering import Rendered

Format = Literal["png", "svg"]

# Pixels of a PNG for each of the specification: sharp on screens and in print.
_SCALE = 2.0


def draw(rendered: Sequence[Rendered], kind: Format) -> Iterator[tuple[str, bytes]]:
    """Yield a file's name and content for each plot that has data; names are those of the plots, and unlike.

    Raises:
        BadConfiguration: if the extra is not installed.
        ClientError: if a plot cannot be drawn.
    """
    try:
        import vl_convert  # noqa: PLC0415 - an extra, and large
    except ImportError as exc:
        raise BadConfiguration(
            f"{kind.upper()} files are drawn by a package that is not installed",
            hint="pip install 'wherry[plots]'; the page in HTML needs nothing",
            reason="EXTRA_MISSING",
        ) from exc
    taken: set[str] = set()
    for one in rendered:
        if one.plot is None or not one.plot.rows:
            continue
        spec = fill(one.plot)[0]
        try:
            # A specification may name addresses for its data; nothing is fetched.
            content = (
                vl_convert.vegalite_to_png(spec, scale=_SCALE, allowed_base_urls=[])
                if kind == "png"
                else vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]).encode()
            )
        except ValueError as exc:
            raise ClientError(f"{one.name} cannot be drawn: {str(exc).splitlines()[0]}") from exc
        yield _file_name(one.name, kind, taken), content


def _file_name(name: str, kind: Format, taken: set[str]) -> str:
    """The plot's name with everything that is no letter, digit, dot or dash replaced, and a number if it is taken."""
    stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "plot"
    chosen, number = stem, 2
    while chosen in taken:
        chosen, number = f"{stem}-{number}", number + 1
    taken.add(chosen)
    return f"{chosen}.{kind}"
