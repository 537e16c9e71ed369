"""A page of plots that opens without a network: data, images and Vega are inside."""

import html
import importlib.resources
import json
import re
from collections.abc import Callable, Iterable, Sequence

from wherry.client.errors import ClientError
from wherry.client.plots.filling import fill
from wherry.client.plots.gathering import Image, Rendered
from wherry.client.plots.templates import Spec

_LIBRARIES = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")

_PLOTS = "{plot_divs}"

# As the reader's screen is; a page of the user's has a look of its own. Nothing on a page leads out of it.
_LOOK = (
    '{theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : undefined,'
    ' config: {background: "transparent", axis: {gridColor: "rgba(136,136,136,.3)"}},'
    " actions: {editor: false}}"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font-family: system-ui, sans-serif; margin: 1.5rem; }}
h1 {{ font-size: 1.25rem; }}
h2 {{ font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }}
main {{ display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }}
section {{ border: 1px solid #8886; border-radius: 6px; padding: 1rem; max-width: 100%; overflow: auto; }}
figure {{ display: inline-block; margin: 0 1rem 0 0; vertical-align: top; }}
figcaption {{ font-size: .85rem; margin-bottom: .25rem; }}
img {{ max-width: 100%; }}
.vega-embed .vega-bindings {{ font-size: .85rem; }}
</style>
{scripts}
</head>
<body>
<h1>{title}</h1>
<main>
{sections}
</main>
</body>
</html>
"""


def write_page(
    title: str, rendered: Sequence[Rendered], source: Callable[[Image], str], *, template: str = ""
) -> str:
    """Write the page; `source` gives the URL of an image. Plots without data are left out.

    `template` is a page of the user's with DVC's places in it: {plot_divs}, {scripts} and {refresh_tag}.

    Raises:
        ClientError: if a template cannot be filled.
    """
    if template and _PLOTS not in template:
        # DVC's own words.
        raise ClientError(f"HTML template has to contain '{_PLOTS}'.", reason="TEMPLATE_INVALID")
    specs = {one.name: fill(one.plot)[0] for one in rendered if one.plot is not None and one.plot.rows}
    sections = [
        _section(one, number, specs.get(one.name), source, look="{}" if template else _LOOK)
        for number, one in enumerate(rendered)
        if one.images or one.name in specs
    ]
    scripts = "\n".join(f"<script>{_library(name)}</script>" for name in _LIBRARIES) if specs else ""
    if not template:
        return _PAGE.format(title=html.escape(title), scripts=scripts, sections="\n".join(sections))
    # What is put in is not looked through again: data may hold anything.
    places = {_PLOTS: "\n".join(sections), "{scripts}": scripts, "{refresh_tag}": ""}
    return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], template)


def _section(
    one: Rendered, number: int, spec: Spec | None, source: Callable[[Image], str], *, look: str
) -> str:
    name = html.escape(one.name)
    if spec is None:
        return f"<section><h2>{name}</h2>{''.join(_figures(one.images, source))}</section>"
    # Nothing in the data may end the script that holds it.
    text = json.dumps(spec).replace("<", "\\u003c")
    return (
        f'<section aria-label="{name}"><div id="plot{number}"></div>'
        f'<script>vegaEmbed("#plot{number}", {text}, {look});</script></section>'
    )


def _figures(images: Iterable[Image], source: Callable[[Image], str]) -> Iterable[str]:
    for image in images:
        shown = html.escape(image.revision)
        url = html.escape(source(image), quote=True)
        yield f'<figure><figcaption>{shown}</figcaption><img src="{url}" alt="{html.escape(image.file)}, {shown}"></figure>'


def _library(name: str) -> str:
    files = importlib.resources.files("wherry.client.plots").joinpath("vega")
    return files.joinpath(name).read_text(encoding="utf-8").replace("</script", "<\\/script")
