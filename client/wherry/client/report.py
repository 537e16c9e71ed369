"""A run as Markdown, for the summary of a CI job and for a comment on a change."""

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.client.documents import run_seconds, state_word
from wherry.client.drawing import markdown_text, stages_drawing
from wherry.v1.pipelines_pb2 import Pipeline
from wherry.v1.runs_pb2 import (
    CACHE_USE_HIT,
    CACHE_USE_MERGED,
    STATE_FAILED,
    STATE_LOST,
    STATE_SUCCEEDED,
    Run,
    StageRecord,
)

# GitHub takes a megabyte, and nobody reads as much.
_ROWS_MAX = 100
_GRAPH_STAGES_MAX = 200

_MARKS = {"succeeded": "✅", "failed": "❌", "lost": "❌", "cancelled": "🚫", "skipped": "⏭️"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table of the report, such as the metrics that changed."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str
    """What is said when there is no row."""


def report_text(run: Run, *, sections: Sequence[Section], pipeline: Pipeline | None) -> str:
    """Write the report: states, what was asked for beside them, and the graph."""
    word = state_word(run.state)
    lines = [f"### {_mark(word)} Wherry run {run.id} `{cell(run.name)}`: {word}", "", _summary(run), ""]
    if run.HasField("error"):
        lines += [f"> {cell(run.error.message)}", ""]
    lines += _table(("Stage", "State", "Time", "Result"), _stage_rows(run))
    for section in sections:
        lines += ["", f"#### {section.title}", ""]
        rows = [[cell(text) for text in row] for row in section.rows]
        lines += _table(section.header, rows) if rows else [section.empty]
    if pipeline is not None and 0 < len(pipeline.stages) <= _GRAPH_STAGES_MAX:
        graph = markdown_text(stages_drawing(pipeline))
        lines += ["", "<details><summary>Graph</summary>", "", graph, "", "</details>"]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Make text from elsewhere harmless in a table: no markup, no break, no mention of anybody."""
    flat = " ".join(text.split())
    kept = "".join(character for character in flat if character.isprintable())
    for character, instead in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "'"), ("@", "@\u200b")):
        kept = kept.replace(character, instead)
    return kept


def _summary(run: Run) -> str:
    seconds = run_seconds(run)
    took = f" in {_duration(seconds)}" if seconds is not None else ""
    cached = sum(_is_cached(stage) for stage in run.stages)
    ran = sum(stage.state == STATE_SUCCEEDED and not _is_cached(stage) for stage in run.stages)
    bad = sum(stage.state in {STATE_FAILED, STATE_LOST} for stage in run.stages)
    counts = ((cached, "from the cache"), (ran, "computed"), (bad, "failed"))
    said = ", ".join(f"{count} {word}" for count, word in counts if count)
    saved = f" **{_duration(run.saved_s)} saved.**" if run.saved_s > 0 else ""
    commit = f" Commit `{run.rev[:12]}`." if run.rev else ""
    return f"{len(run.stages)} stages{took}: {said or 'nothing ran'}.{saved}{commit}"


def _stage_rows(run: Run) -> list[tuple[str, ...]]:
    # What failed first: a long table is cut.
    order = sorted(run.stages, key=lambda stage: stage.state not in {STATE_FAILED, STATE_LOST})
    rows = [_stage_row(stage) for stage in order[:_ROWS_MAX]]
    if len(order) > _ROWS_MAX:
        rows.append((f"… and {len(order) - _ROWS_MAX} more", "", "", ""))
    return rows


def _stage_row(stage: StageRecord) -> tuple[str, ...]:
    word = state_word(stage.state)
    result = stage.reason
    if stage.state == STATE_SUCCEEDED:
        by = f" by {stage.from_user}" if stage.from_user else ""
        made = "cached" if _is_cached(stage) else "computed"
        result = f"from run {stage.from_run}{by}" if stage.from_run else made
    seconds = _duration(stage.wall_s) if stage.HasField("wall_s") else ""
    return f"`{cell(stage.name)}`", f"{_mark(word)} {word}", seconds, cell(result)


def _is_cached(stage: StageRecord) -> bool:
    return stage.state == STATE_SUCCEEDED and stage.cache in {CACHE_USE_HIT, CACHE_USE_MERGED}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(header), line(["---"] * len(header)), *(line(row) for row in rows)]


def _mark(word: str) -> str:
    return _MARKS.get(word, "▶️")


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{rest:02d}s"  # noqa: PLR2004
