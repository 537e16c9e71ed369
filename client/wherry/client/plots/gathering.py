"""The plots of revisions: which there are, what data they have, and what becomes of it."""

import base64
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wherry.client.errors import ClientError, Invalid, Refused
from wherry.client.plots.filling import Plot, fill
from wherry.client.plots.points import find_points
from wherry.client.plots.templates import find_template
from wherry.client.project import Project
from wherry.client.revisions import Json, Revision, Revisions, error_document
from wherry.v1.blobs_pb2 import BlobDigest

_IMAGES = frozenset({".jpg", ".jpeg", ".gif", ".png", ".svg"})

Definitions = dict[str, dict[str, Json]]
"""By file ("" for outputs), the plots and their properties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which plots, and how."""

    targets: Sequence[str] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    """What the command line says of looks; it goes before what the project says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionPlots:
    """The plots of one revision."""

    revision: str
    definitions: Definitions = field(default_factory=dict)
    sources: Mapping[str, Json] = field(default_factory=dict)
    error: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of one revision."""

    revision: str
    file: str
    digest: BlobDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One plot over all revisions: points, or images."""

    name: str
    plot: Plot | None = None
    images: Sequence[Image] = ()
    errors: Sequence[Json] = ()


class Gatherer:
    """Reads plots through the service, and puts revisions together."""

    def __init__(self, project: Project, revisions: Revisions) -> None:
        """Take the project, and who reads it."""
        self._project = project
        self._revisions = revisions

    def gather(self, revisions: Iterable[Revision], wish: Wish) -> list[RevisionPlots]:
        """Read the plots of revisions; one that cannot be read has an error."""
        found = []
        for revision in revisions:
            try:
                found.append(self._gather(revision, wish))
            except (Invalid, Refused) as exc:
                found.append(RevisionPlots(revision=revision.name, error=error_document(exc)))
        return found

    def _gather(self, revision: Revision, wish: Wish) -> RevisionPlots:
        folder = self._project.folder
        targets = [_from_root(folder, target) for target in wish.targets if _may_be_path(target)]
        document = self._revisions.read(revision, ("plots",), targets=targets, working_folder=folder)
        if document is None:
            return RevisionPlots(revision=revision.name)
        definitions = _selected(document["plots"], wish)
        sources = dict.fromkeys(
            source
            for plots in definitions.values()
            for name, properties in plots.items()
            for source in data_sources(name, properties)
        )
        if not sources:
            return RevisionPlots(revision=revision.name, definitions=definitions)
        read = self._revisions.read(
            revision,
            ("plot data",),
            targets=[_from_root(folder, source) for source in sources],
            working_folder=folder,
            no_header=wish.properties.get("header") is False,
        )
        return RevisionPlots(
            revision=revision.name, definitions=definitions, sources=(read or {})["plot_data"]
        )


def combine(plots: Sequence[RevisionPlots], templates: Path, here: Path) -> list[Rendered]:
    """Put the same plots of several revisions together, in the order in which they are first met."""
    groups: dict[str, list[tuple[RevisionPlots, str, Json]]] = {}
    for one in plots:
        for plot_id, (name, properties) in _by_id(one.definitions).items():
            groups.setdefault(plot_id, []).append((one, name, properties))
    return [_combined(plot_id, group, templates, here) for plot_id, group in groups.items()]


def data_sources(name: str, properties: Json) -> list[str]:
    """Name the files that a plot is drawn from."""
    x, y = properties.get("x"), properties.get("y")
    sources = list(y) if isinstance(y, Mapping) else [name]
    return list(dict.fromkeys([*sources, *(list(x)[:1] if isinstance(x, Mapping) else [])]))


def _combined(
    plot_id: str, group: Sequence[tuple[RevisionPlots, str, Json]], templates: Path, here: Path
) -> Rendered:
    shared: Json = {}
    for _, _, properties in reversed(group):
        shared |= properties
    rows, images, errors, revisions = [], [], [], []
    final: Json = {}
    for one, name, properties in group:
        named = {source: one.sources.get(source, {}) for source in data_sources(name, properties)}
        errors += [
            {"name": plot_id, "rev": one.revision, "source": source, **found["error"]}
            for source, found in named.items()
            if "error" in found
        ]
        if posixpath.splitext(name)[1] in _IMAGES:
            images += [
                _image(one.revision, source, found) for source, found in named.items() if "image" in found
            ]
            continue
        files = {source: found["data"] for source, found in named.items() if found.get("data")}
        try:
            points = find_points(name, files, shared, one.revision)
        except ClientError as exc:
            errors.append({"name": plot_id, "rev": one.revision, **error_document(exc)})
            continue
        rows += points.rows
        revisions += [one.revision] if points.rows and one.revision not in revisions else []
        final = final or dict(points.properties)
    if posixpath.splitext(group[-1][1])[1] in _IMAGES:
        return Rendered(name=group[-1][1], images=images, errors=errors)
    final.setdefault("title", plot_id)
    template = find_template(final.get("template"), templates, here)
    plot = Plot(rows=rows, properties=final, revisions=revisions, template=template)
    return Rendered(name=plot_id, plot=plot, errors=errors)


def to_json(
    rendered: Sequence[Rendered], plots: Sequence[RevisionPlots], url: Callable[[Image], str], *, split: bool
) -> Json:
    """Write DVC's JSON; `url` says where an image is."""
    errors = [error for one in rendered for error in one.errors]
    errors += [{"rev": one.revision, **one.error} for one in plots if one.error]
    data = {one.name: _content(one, url, split=split) for one in rendered}
    return {key: value for key, value in (("errors", errors), ("data", data)) if value}


def _content(one: Rendered, url: Callable[[Image], str], *, split: bool) -> list[Json]:
    if one.plot is None:
        return [{"type": "image", "revisions": [image.revision], "url": url(image)} for image in one.images]
    if not one.plot.rows:
        return []
    spec, anchors = fill(one.plot, split=split)
    kept = {"anchor_definitions": anchors} if split else {}
    return [{"type": "vega", "revisions": list(one.plot.revisions), "content": spec, **kept}]


def inlined(content: bytes) -> str:
    """Write an image as a URL that holds it."""
    kind = "image/svg+xml" if content.lstrip()[:5] in {b"<svg ", b"<?xml"} else "image"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _image(revision: str, file: str, found: Json) -> Image:
    image = found["image"]
    return Image(
        revision=revision, file=file, digest=BlobDigest(hash=image["hash"], size_bytes=image["size"])
    )


def _by_id(definitions: Definitions) -> dict[str, tuple[str, Json]]:
    """Name plots; those of one name in several files are named with their file."""
    files: dict[str, dict[str, Json]] = {}
    for file, plots in definitions.items():
        for name, properties in plots.items():
            files.setdefault(name, {})[file] = properties
    found: dict[str, tuple[str, Json]] = {}
    for name, by_file in files.items():
        for file, properties in by_file.items():
            plot_id = name if len(by_file) == 1 or not file else f"{file}::{name}"
            found[plot_id] = (name, properties)
    return found


def _selected(document: Json, wish: Wish) -> Definitions:
    definitions: Definitions = {}
    chosen = [group for group in document["groups"] if _matches(wish.targets, group)]
    named = [(group["file"], name, own) for group in chosen for name, own in group["plots"].items()]
    found = document["targets"]
    named += [("", path, {}) for target in wish.targets for path in found.get(posixpath.normpath(target), ())]
    for file, name, own in named:
        plots = definitions.setdefault(file, {})
        plots[name] = {**plots.get(name, {}), **own, **wish.properties}
    return definitions


def _matches(targets: Sequence[str], group: Json) -> bool:
    name, whole = group["name"], f"{group['declared_in']}::{group['name']}"
    return not targets or any(_match(target, name) or _match(target, whole) for target in targets)


def _match(pattern: str, text: str) -> bool:
    try:
        return re.match(pattern, text) is not None
    except re.error:
        return text.startswith(pattern)


def _may_be_path(target: str) -> bool:
    return "::" not in target and not target.startswith("/")


def _from_root(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder or ".", path))
