"""A run as a page of HTML that needs nothing else: no network, no service, no script of ours.

Everything that comes from elsewhere (names, messages, output, values) is escaped, and a content security policy keeps
the page from asking anybody for anything.
"""

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wherry.client.cli.following import stage_words, usage_words
from wherry.client.cli.terminal import plain
from wherry.client.cli.units import duration_words
from wherry.client.comparing import flatten, shown
from wherry.client.documents import run_seconds, state_word
from wherry.client.watching import ENDED
from wherry.v1.runs_pb2 import (
    CACHE_USE_HIT,
    STATE_FAILED,
    STATE_LOST,
    STATE_QUEUED,
    STATE_SKIPPED,
    Run,
    StageRecord,
)

_VALUES_MAX = 2000

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #8882; --good: #2a7d46; --bad: #c0392b; --wait: #6b6b6b; --go: #2c6fbb; }}
@media (prefers-color-scheme: dark) {{ :root {{ --good: #5cc47f; --bad: #ff7b6b; --wait: #a0a0a0; --go: #74b0f4; }} }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 76rem; padding: 0 1rem; }}
h1 {{ font-size: 1.35rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.05rem; margin: 2rem 0 .5rem; }}
.facts {{ display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: 0; }}
.facts div {{ display: flex; gap: .4rem; }} .facts dt {{ opacity: .7; }} .facts dd {{ margin: 0; overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }}
th {{ font-weight: 600; opacity: .8; white-space: nowrap; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.state {{ white-space: nowrap; font-weight: 600; }}
.succeeded {{ color: var(--good); }} .failed, .lost {{ color: var(--bad); }}
.queued, .skipped, .cancelled {{ color: var(--wait); }} .running, .preparing {{ color: var(--go); }}
.time {{ min-width: 12rem; width: 30%; }}
.time div {{ position: relative; height: .8rem; margin-top: .25rem; }}
.time i {{ position: absolute; inset-block: 0; min-width: 3px; border-radius: 2px; background: currentColor; }}
.error {{ border-left: 4px solid var(--bad); padding: .5rem 1rem; background: var(--soft); white-space: pre-wrap; }}
details {{ border-bottom: 1px solid var(--line); padding: .3rem 0; }}
summary {{ cursor: pointer; }}
pre {{ overflow-x: auto; background: var(--soft); padding: .75rem; border-radius: 4px; font-size: 13px; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The end of what a stage wrote."""

    stage: str
    """Empty for the run as a whole."""
    lines: Sequence[str]
    left_out: int = 0
    """How many lines came before these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReading:
    """What was read of a run for its page."""

    run: Run
    metrics: Mapping[str, Any]
    """Values by path of the file."""
    params: Mapping[str, Any]
    outputs: Sequence[Output]


def write_run_page(reading: RunReading, seen_at: datetime) -> str:
    """Write the page; `seen_at` is when the run was asked for."""
    run = reading.run
    title = _text(f"Run {run.id} {run.name}: {state_word(run.state)}")
    body = [
        f'<h1>Run {_text(run.id)} {_text(run.name)}: <span class="{_state(run.state)}">{_state(run.state)}</span></h1>',
        _facts(run, seen_at),
        *_error(run),
        *_stages(run),
        *_values("Metrics", reading.metrics),
        *_values("Parameters", reading.params),
        *_outputs(reading.outputs, {stage.name for stage in run.stages if stage.state in _BAD}),
    ]
    return _PAGE.format(title=title, body="\n".join(body))


_BAD = frozenset({STATE_FAILED, STATE_LOST})


def _facts(run: Run, seen_at: datetime) -> str:
    seconds = run_seconds(run)
    facts = {
        "project": run.project,
        "by": run.user,
        "submitted": _moment(run.created_at.ToDatetime(tzinfo=UTC)),
        "commit": (run.rev[:12] + (" and changes" if run.dirty else "")) if run.rev else "",
        "took": duration_words(seconds) if seconds is not None else "",
        "saved": duration_words(run.saved_s) if run.saved_s > 0 else "",
        "message": run.message,
        **dict(run.labels),
        "as of": "" if run.state in ENDED else f"{_moment(seen_at)}; the run goes on",
    }
    said = (
        f"<div><dt>{_text(key)}</dt><dd>{_text(value)}</dd></div>" for key, value in facts.items() if value
    )
    return f'<dl class="facts">{"".join(said)}</dl>'


def _error(run: Run) -> Iterator[str]:
    if run.HasField("error"):
        hint = f"\nhint: {_text(run.error.hint)}" if run.error.hint else ""
        yield f'<p class="error">{_text(run.error.message)}{hint}</p>'


def _stages(run: Run) -> Iterator[str]:
    if not run.stages:
        return
    spans = {stage.name: span for stage in run.stages if (span := _span(stage)) is not None}
    first = min((begin for begin, _ in spans.values()), default=0.0)
    whole = max(max((end for _, end in spans.values()), default=0.0) - first, 0.001)
    when = f"When, over {duration_words(whole)}" if spans else "When"
    yield "<h2>Stages</h2>"
    yield f'<div class="scroll"><table><thead><tr>{_cells("th", ("Stage", "State", "What became of it", when))}'
    yield '<th class="number">CPU</th><th class="number">Memory</th></tr></thead><tbody>'
    for stage in run.stages:
        word = _state(stage.state)
        cpu, memory, *_ = usage_words(stage)
        yield (
            f'<tr><td>{_text(stage.name)}</td><td class="state {word}">{word}</td>'
            f'<td>{_text(stage_words(stage))}</td><td class="time {word}">{_bar(spans.get(stage.name), first, whole)}</td>'
            f'<td class="number">{_text(cpu)}</td><td class="number">{_text(memory)}</td></tr>'
        )
    yield "</tbody></table></div>"


def _span(stage: StageRecord) -> tuple[float, float] | None:
    """When a stage ran, in seconds of the epoch; what came from the cache took no time."""
    if not stage.HasField("since") or stage.state in {STATE_QUEUED, STATE_SKIPPED}:
        return None
    end = stage.since.ToNanoseconds() / 1e9
    is_own = stage.cache != CACHE_USE_HIT and stage.HasField("wall_s")
    return end - (stage.wall_s if is_own else 0.0), end


def _bar(span: tuple[float, float] | None, first: float, whole: float) -> str:
    if span is None:
        return ""
    begin, end = span
    left, width = 100 * (begin - first) / whole, 100 * (end - begin) / whole
    place = f"left:{min(left, 99):.2f}%;width:{width:.2f}%"
    return f'<div><i style="{place}" title="{_text(duration_words(end - begin))}"></i></div>'


def _values(title: str, files: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (path, name, shown(value))
        for path, content in files.items()
        for name, value in (flatten(content) if isinstance(content, dict) else {"": content}).items()
    ]
    if not rows:
        return
    yield f"<h2>{title}</h2>"
    yield f'<div class="scroll"><table><thead><tr>{_cells("th", ("File", "Name", "Value"))}</tr></thead><tbody>'
    yield from (f"<tr>{_cells('td', row)}</tr>" for row in rows[:_VALUES_MAX])
    if len(rows) > _VALUES_MAX:
        yield f'<tr><td colspan="3">… and {len(rows) - _VALUES_MAX} more</td></tr>'
    yield "</tbody></table></div>"


def _outputs(outputs: Iterable[Output], bad: set[str]) -> Iterator[str]:
    some = [output for output in outputs if output.lines]
    if not some:
        return
    yield "<h2>What stages wrote</h2>"
    for output in some:
        before = f"… {output.left_out} lines before\n" if output.left_out else ""
        is_open = " open" if output.stage in bad else ""
        lines = "\n".join(map(_text, output.lines))
        yield f"<details{is_open}><summary>{_text(output.stage or 'the run')}</summary><pre>{before}{lines}</pre></details>"


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{_text(text)}</{tag}>" for text in texts)


def _state(state: Any) -> str:
    return _text(state_word(state))


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _text(text: str) -> str:
    return html.escape(plain(text))
