"""The table of experiments, with DVC's columns, in DVC's order."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wherry.client.comparing import flatten
from wherry.client.errors import ClientError
from wherry.client.revisions import Json

_FACTS = ("Experiment", "rev", "typ", "Created", "parent", "State", "User", "Executor")
_SHA = re.compile(r"[0-9a-f]{40}")
_BRANCHES = {"baseline": "", "branch_commit": "├── ", "branch_base": "└── "}
_ERRORED = "!"

Names = dict[str, dict[str, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStyle:
    """How the table is made."""

    fill: str
    """What stands where there is nothing."""
    iso: bool
    """Times whole, or short."""
    precision: int | None
    """Significant digits; None: all."""
    today: str
    """The day, as ISO 8601 has it: of moments of today the time is shown."""
    sort_by: str = ""
    descending: bool = False


@dataclass(slots=True)
class ExperimentTable:
    """Columns by name, all of one length."""

    columns: dict[str, list[str]]
    metrics: Sequence[str] = ()
    """Names of the columns of metrics."""
    fill: str = ""
    protected: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        """Count the rows."""
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> list[list[str]]:
        """Give the cells by row."""
        return [list(row) for row in zip(*self.columns.values(), strict=True)]

    def protect(self, patterns: Sequence[str]) -> None:
        """Keep the columns that match, whatever else is said."""
        self.protected |= set(_matching(patterns, self.columns))

    def drop(self, names: Iterable[str]) -> None:
        """Take columns out."""
        for name in names:
            if name not in self.protected:
                self.columns.pop(name, None)

    def drop_matching(self, patterns: Sequence[str]) -> None:
        """Take the columns out that match."""
        self.drop(_matching(patterns, self.columns))

    def drop_empty(self, names: Iterable[str]) -> None:
        """Take those of these columns out in which nothing stands."""
        self.drop([name for name in names if all(cell == self.fill for cell in self.columns.get(name, ()))])

    def drop_unchanged(self) -> None:
        """Take the columns out that say the same everywhere."""
        self.drop([name for name, cells in self.columns.items() if len(set(cells)) == 1])

    def join_names(self) -> None:
        """Make one column of what names an experiment, for people."""
        columns = self.columns
        facts = zip(*(columns[name] for name in ("Experiment", "rev", "typ", "parent")), strict=True)
        columns["Experiment"] = [
            _BRANCHES[kind]
            + (rev if kind == "baseline" else f"{rev} [{name}]" if name else rev)
            + (f" ({parent})" if parent else "")
            for name, rev, kind, parent in facts
        ]
        for name in ("rev", "typ", "parent"):
            del columns[name]


def make_table(states: Sequence[Json], style: TableStyle) -> ExperimentTable:
    """Lay out experiments, all columns.

    Raises:
        ClientError: if what is to be sorted by is no metric and no parameter, or several.
    """
    layout = _Layout.of(states)
    rows: list[dict[str, str]] = []
    for state in states:
        rows.append(_baseline(state, layout, style))
        experiments = list(state["experiments"] or ())
        if style.sort_by:
            experiments = layout.sorted(experiments, style.sort_by, descending=style.descending)
        for position, one in enumerate(experiments):
            rows.append(_experiment(one, layout, style, is_last=position == len(experiments) - 1))
    headers = list(dict.fromkeys([*_FACTS, *layout.metric_headers, *layout.param_headers, *layout.deps]))
    columns = {name: [row.get(name, style.fill) for row in rows] for name in headers}
    return ExperimentTable(columns, metrics=layout.metric_headers, fill=style.fill)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Which values there are."""

    metrics: Names
    params: Names
    deps: Sequence[str]
    counts: Mapping[str, int]

    @classmethod
    def of(cls, states: Sequence[Json]) -> "_Layout":
        metrics: Names = {}
        params: Names = {}
        deps: set[str] = set()
        for data in _all_data(states):
            _collect(metrics, data["metrics"])
            _collect(params, data["params"])
            deps.update(data["deps"])
        counts = Counter(name for names in {**metrics, **params}.values() for name in names)
        counts.update(_FACTS)
        return cls(metrics=metrics, params=params, deps=sorted(deps), counts=counts)

    @property
    def metric_headers(self) -> list[str]:
        return self._headers(self.metrics)

    @property
    def param_headers(self) -> list[str]:
        return self._headers(self.params)

    def header(self, path: str, name: str) -> str:
        """Name a column: with the file, where the name alone is not enough."""
        return name if self.counts[name] == 1 else f"{path}:{name}"

    def _headers(self, names: Names) -> list[str]:
        return [self.header(path, name) for path, inside in names.items() for name in inside]

    def sorted(self, experiments: Sequence[Json], by: str, *, descending: bool) -> list[Json]:
        kind, path, name = self._find(by)

        def key(experiment: Json) -> tuple[bool, Any]:
            data = experiment["revs"][0]["data"] or {}
            value = _flat(data.get(kind, {}).get(path, {})).get(name)
            return value is None, value

        return sorted(experiments, key=key, reverse=descending)

    def _find(self, by: str) -> tuple[str, str, str]:
        kinds = (("metrics", self.metrics), ("params", self.params))
        parts = by.split(":")
        splits = [(":".join(parts[:end]), ":".join(parts[end:])) for end in range(len(parts))]
        found = {
            (kind, path, name)
            for kind, names in kinds
            for path, name in splits
            if name in names.get(path, {})
        }
        found = found or {
            (kind, path, by.removeprefix(":"))
            for kind, names in kinds
            for path, inside in names.items()
            if by.removeprefix(":") in inside
        }
        if len(found) == 1:
            return found.pop()
        columns = ", ".join(sorted(f"{path}:{name}" for _, path, name in found))
        if found:
            raise ClientError(f"Ambiguous sort column '{by}' matched '{columns}'", reason="SORT_COLUMN")
        raise ClientError(
            f"Unknown sort column '{by}'",
            hint="name a metric or parameter: acc, metrics.json:acc",
            reason="SORT_COLUMN",
        )


def _all_data(states: Sequence[Json]) -> Iterable[Json]:
    for state in states:
        if state["data"]:
            yield state["data"]
        for experiment in state["experiments"] or ():
            yield from _all_data(experiment["revs"])


def _collect(names: Names, files: Mapping[str, Json]) -> None:
    for path, item in files.items():
        if isinstance(item.get("data", {}), Mapping):
            names.setdefault(path, {}).update(dict.fromkeys(_flat(item)))


def _flat(item: Json) -> dict[str, Any]:
    data = item.get("data", {})
    return flatten(data) if isinstance(data, Mapping) else {}


def _baseline(state: Json, layout: _Layout, style: TableStyle) -> dict[str, str]:
    rev = state["rev"]
    row = {
        "Experiment": "",
        "rev": state["name"] or (rev[:7] if _SHA.fullmatch(rev) else rev),
        "typ": "baseline",
        "parent": "",
    }
    return row | _cells(state, layout, style)


def _experiment(experiment: Json, layout: _Layout, style: TableStyle, *, is_last: bool) -> dict[str, str]:
    state = experiment["revs"][0]
    run = experiment["run"]
    row = {
        "Experiment": experiment["name"] or "",
        "rev": state["rev"],
        "typ": "branch_base" if is_last else "branch_commit",
        "parent": "",
        "State": "Success" if run["state"] == "succeeded" else run["state"].capitalize(),
        "User": run["user"] or style.fill,
    }
    return row | _cells(state, layout, style)


def _cells(state: Json, layout: _Layout, style: TableStyle) -> dict[str, str]:
    data = state["data"]
    if not data:
        return {}
    row = {"Created": _time(data["timestamp"], style)}
    for files, names in ((data["metrics"], layout.metrics), (data["params"], layout.params)):
        for path, item in files.items():
            nothing = _ERRORED if "error" in item else style.fill
            values = _flat(item)
            for name in names.get(path, ()):
                value = values.get(name)
                row[layout.header(path, name)] = nothing if value is None else _written(value, style)
    for path, dep in data["deps"].items():
        row[path] = dep["hash"] or style.fill
    return row


def _written(value: Any, style: TableStyle) -> str:
    return str(_shortened(value, style.precision))


def _shortened(value: Any, precision: int | None) -> Any:
    if isinstance(value, float) and precision:
        return f"{value:.{precision}g}"
    if isinstance(value, list):
        return [_shortened(inner, precision) for inner in value]
    return value


def _time(timestamp: str | None, style: TableStyle) -> str:
    if timestamp is None:
        return style.fill
    if style.iso:
        return timestamp
    moment = datetime.fromisoformat(timestamp)
    return moment.strftime("%I:%M %p" if timestamp.startswith(style.today) else "%b %d, %Y")


def _matching(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    matches: Callable[[str], object] = re.compile("|".join(patterns)).match
    return [name for name in names if matches(name)] if patterns else []
