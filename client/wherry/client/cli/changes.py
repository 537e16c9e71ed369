"""Comparing metrics or parameters of two revisions, and printing what is different."""

from dataclasses import replace
from typing import Any, Literal

from wherry.client.cli.session import open_session
from wherry.client.cli.settings import Settings
from wherry.client.cli.tabulating import tell_failed, tell_json, tell_table
from wherry.client.comparing import DiffStyle, compare, diff_rows, failed_revisions
from wherry.client.revisions import Which, from_root, seen_from


def tell_changes(
    settings: Settings,
    kind: Literal["metrics", "params"],
    flags: dict[str, Any],
    style: DiffStyle,
    *,
    stage_params_only: bool = False,
) -> None:
    """Compare two revisions as the flags of `diff` say; `style` names them and says how a table is laid out."""
    with open_session(settings) as (client, terminal):
        project, revisions = client.project, client.revisions()
        names = (style.old_name, style.new_name)
        results = revisions.gather(
            Which(names=names),
            kind,
            targets=from_root(project, flags["targets"]),
            stage_params_only=stage_params_only,
            tell=terminal.warn,
        )
        old, new = (results.get(name, {}) for name in names)
        changes = compare(old.get("data", {}), new.get("data", {}), unchanged=flags["unchanged"])
        changes = seen_from(project, changes)
        tell_failed(terminal, kind, failed_revisions({name: results.get(name, {}) for name in names}))
        if flags["as_json"]:
            tell_json(terminal, changes)
            return
        shown = replace(style, with_path=not flags["no_path"])
        tell_table(terminal, *diff_rows(changes, shown), markdown=flags["markdown"])
