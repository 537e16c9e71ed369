"""Names of stages and runs that were seen last, in `.dvc/tmp/wherry/names.json`: for completion, which must not ask.

It is a help for typing: whatever goes wrong with the file, there are fewer names, and no error.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from wherry.client.stage_names import StageNames

_RUNS_MAX = 200
_STAGES_MAX = 20_000
_FILE = (".dvc", "tmp", "wherry", "names.json")
# A stage in a dvc.yaml as nearly everybody writes it. The service reads them; this only helps before it has.
_STAGE_LINE = re.compile(r"""^(?: {1,4}|\t)["']?([\w./@-]+)["']?\s*:\s*(?:#.*)?$""")


class KnownNames:
    """The names of one project."""

    def __init__(self, root: Path) -> None:
        """Read them, where they are."""
        self._root = root
        self._file = root.joinpath(*_FILE)
        self.stages: list[str] = []
        """From the DVC root."""
        self.runs: list[tuple[str, str, str]] = []
        """Id, name, state as it was, newest first."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            said = json.loads(self._file.read_text(encoding="utf-8"))
            self.stages = [str(name) for name in said["stages"]]
            self.runs = [(str(id_), str(name), str(state)) for id_, name, state in said["runs"]]

    def keep_stages(self, names: Iterable[str], *, whole: bool) -> None:
        """Keep stages; `whole`: these are all there are."""
        kept = list(dict.fromkeys(names if whole else [*self.stages, *names]))[:_STAGES_MAX]
        if kept != self.stages:
            self.stages = kept
            self._save()

    def keep_runs(self, runs: Iterable[tuple[str, str, str]]) -> None:
        """Keep runs beside those that are known."""
        merged = {run[0]: run for run in self.runs} | {run[0]: run for run in runs}
        kept = sorted(merged.values(), key=lambda run: (len(run[0]), run[0]), reverse=True)[:_RUNS_MAX]
        if kept != self.runs:
            self.runs = kept
            self._save()

    def stages_seen(self, folder: str) -> list[str]:
        """List stages as they are called in a folder of the project, those too that only stand in its dvc.yaml."""
        names = StageNames(folder)
        return list(dict.fromkeys([*map(names.seen, self.stages), *self._written_stages(folder)]))

    def _written_stages(self, folder: str) -> Iterable[str]:
        try:
            lines = (self._root / folder / "dvc.yaml").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return
        inside, indent = False, ""
        for line in lines:
            if line.strip() and not line[0].isspace() and not line.startswith("#"):
                inside, indent = line.startswith("stages:"), ""
            found = _STAGE_LINE.match(line) if inside else None
            if found:
                own = line[: len(line) - len(line.lstrip())]
                indent = indent or own
                if own == indent:
                    yield found[1]

    def _save(self) -> None:
        temporary = self._file.with_name(f".names.{os.urandom(8).hex()}.tmp")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(json.dumps({"stages": self.stages, "runs": self.runs}), encoding="utf-8")
                temporary.replace(self._file)
            finally:
                temporary.unlink(missing_ok=True)
