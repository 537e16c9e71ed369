"""Experiments as `dvc exp show --json` has them: the workspace, commits, and under each commit the runs out of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wherry.client.documents import state_word
from wherry.client.errors import Invalid, Refused
from wherry.client.revisions import (
    RUN_PREFIX,
    WORKSPACE,
    Json,
    Kind,
    Revision,
    Revisions,
    Which,
    error_document,
)
from wherry.v1.runs_pb2 import Run

_KINDS: tuple[Kind, ...] = ("params", "metrics", "records")

# Each is a call that waits for the service most of its time.
_AT_ONCE = 8

# In the order in which DVC lists experiments, and in its words.
_EXECUTOR_STATES = {
    "preparing": "running",
    "running": "running",
    "succeeded": "success",
    "queued": "queued",
    "failed": "failed",
    "lost": "failed",
    "cancelled": "failed",
}
_ORDER = ("running", "success", "queued", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What of the experiments is wanted."""

    which: Which
    hide_workspace: bool = False
    hide_queued: bool = False
    hide_failed: bool = False
    sha_only: bool = False
    stage_params_only: bool = False


class Experiments:
    """Reads revisions and runs side by side."""

    def __init__(self, revisions: Revisions, list_runs: Callable[[], Iterable[Run]]) -> None:
        """Read through `revisions`; `list_runs` gives the runs of the project, newest first."""
        self._revisions = revisions
        self._list_runs = list_runs

    def show(self, shown: Shown) -> list[Json]:
        """Return the states, as DVC's JSON has them; what it does not have stands under `run` of an experiment."""
        if self._revisions.is_before_first(shown.which.names):
            return []
        git = self._revisions.git
        commits = [one for one in self._revisions.find(shown.which) if one.commit]
        names = {} if shown.sha_only else git.names()
        times = git.describe(one.commit for one in commits)
        states = []
        if not shown.hide_workspace:
            states.append(self._state(Revision(name=WORKSPACE), WORKSPACE, None, shown))
        runs = self._runs_by_commit({one.commit for one in commits}, shown)
        for one in commits:
            state = self._state(one, one.commit, _local_time(times[one.commit].committed_at), shown)
            state["name"] = names.get(one.commit)
            state["experiments"] = self._experiments(runs.get(one.commit, ()), shown) or None
            states.append(state)
        return states

    def _runs_by_commit(self, commits: set[str], shown: Shown) -> Mapping[str, Sequence[Run]]:
        found: dict[str, list[Run]] = {}
        hidden = {"queued"} if shown.hide_queued else set()
        hidden |= {"failed"} if shown.hide_failed else set()
        for run in self._list_runs():
            if run.rev in commits and executor_state(run) not in hidden:
                found.setdefault(run.rev, []).append(run)
        # Sorting keeps the newest first.
        return {
            commit: sorted(runs, key=lambda run: _ORDER.index(executor_state(run)))
            for commit, runs in found.items()
        }

    def _experiments(self, runs: Sequence[Run], shown: Shown) -> list[Json]:
        if not runs:
            return []
        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(runs))) as pool:
            return list(pool.map(lambda run: self._experiment(run, shown), runs))

    def _experiment(self, run: Run, shown: Shown) -> Json:
        revision = Revision(name=run.name, run=run.id)
        state = self._state(revision, f"{RUN_PREFIX}{run.id}", _local_time(run.created_at.seconds), shown)
        state["name"] = run.name
        return {
            "revs": [state],
            "executor": {"state": executor_state(run), "name": None, "local": None},
            "name": run.name,
            "run": {
                "id": run.id,
                "state": state_word(run.state),
                "user": run.user,
                "dirty": run.dirty,
                "created_at": run.created_at.ToJsonString(),
                "message": run.message or None,
            },
        }

    def _state(self, revision: Revision, rev: str, time: str | None, shown: Shown) -> Json:
        state: Json = {"rev": rev, "name": None, "data": None, "error": None, "experiments": None}
        try:
            found = self._revisions.read(revision, _KINDS, stage_params_only=shown.stage_params_only)
        except (Invalid, Refused) as exc:
            return {**state, "error": error_document(exc)}
        if found is None:
            return {**state, "error": {"type": "NotDvcRepoError", "msg": "the commit has no such project"}}
        data: dict[str, Any] = {"rev": rev, "timestamp": time}
        data |= {part: found[part] for part in ("params", "metrics", "deps", "outs")}
        return {**state, "data": {**data, "meta": {}}}


def executor_state(run: Run) -> str:
    """Say the state of a run in DVC's words."""
    return _EXECUTOR_STATES.get(state_word(run.state), "failed")


def _local_time(seconds: int) -> str:
    """Write a moment as DVC does: in local time, without its zone."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().replace(tzinfo=None).isoformat()
