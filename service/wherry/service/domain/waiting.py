"""The stages of a run that have not gone yet, and which of them can: constant work for each that ends."""

from collections.abc import Callable, Iterable, Iterator

from wherry.service.domain.dvc.graph import active_upstream, reversed_edges
from wherry.service.domain.dvc.stage import Pipeline, Stage, StageName


class WaitingStages:
    """Knows of every stage how many of those it stands on have not succeeded."""

    def __init__(
        self,
        pipeline: Pipeline,
        names: Iterable[StageName],
        *,
        waiting: Iterable[Stage],
        has_succeeded: Callable[[StageName], bool],
    ) -> None:
        """`names` are all stages of the run: what it does not have is taken as it is. `waiting` are to go."""
        selected = dict.fromkeys(names)
        upstream = {
            name: [before for before in active_upstream(pipeline, name) if before in selected]
            for name in selected
        }
        self._readers = reversed_edges(upstream)
        self._done = {name for name in selected if has_succeeded(name)}
        self._lacks = {
            name: sum(before not in self._done for before in stands_on)
            for name, stands_on in upstream.items()
        }
        self._waiting: dict[StageName, Stage] = {}
        self._ready: dict[StageName, None] = {}
        for stage in waiting:
            self.add(stage)

    def __iter__(self) -> Iterator[Stage]:
        """Those that wait."""
        return iter(self._waiting.values())

    def add(self, stage: Stage) -> None:
        """Let a stage wait, once more perhaps."""
        self._waiting[stage.name] = stage
        if not self._lacks[stage.name]:
            self._ready[stage.name] = None

    def note(self, name: StageName, *, has_succeeded: bool) -> None:
        """A stage has come into another state."""
        if has_succeeded == (name in self._done):
            return
        if has_succeeded:
            self._done.add(name)
        else:
            self._done.remove(name)
        for reader in self._readers.get(name, ()):
            self._lacks[reader] += -1 if has_succeeded else 1
            if self._lacks[reader]:
                self._ready.pop(reader, None)
            elif reader in self._waiting:
                self._ready[reader] = None

    def take_ready(self) -> list[Stage]:
        """Those that can go; they wait no more."""
        ready = [self._waiting.pop(name) for name in self._ready]
        self._ready.clear()
        return ready
