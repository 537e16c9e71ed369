"""A run as an object: what is known of it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from wherry.client.errors import RunFailed
from wherry.client.run_facts import Line, RunFacts, Stage

if TYPE_CHECKING:
    from wherry.client.client import Client
    from wherry.client.results import ApplyReport, PullReport
    from wherry.client.watching import Event
    from wherry.v1.runs_pb2 import Run as RunRecord

Pulled = Literal["none", "metrics", "all"]
"""Which outputs are brought: none, metrics and plots, or all."""


class Run(RunFacts):
    """A run of one service. Its facts are as they were heard of last; `refresh` asks again.

    Every method raises ClientError for what can go wrong. Names of stages and paths are from the DVC root.
    """

    def __init__(self, client: Client, record: RunRecord) -> None:
        """Take who to ask, and what is known."""
        super().__init__(record)
        self._client = client

    def refresh(self) -> Self:
        """Ask how it stands; returns itself."""
        self._hear(self._client.run(self.id).record)
        return self

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended, over lost connections too; `timeout` in seconds. Returns itself.

        Raises:
            TimeLimitPassed: when the time is over; the run goes on.
        """
        if not self.has_ended:
            for _ in self.watch(logs=False, timeout=timeout):
                pass
        return self.refresh()

    def check(self) -> Self:
        """Return itself if it succeeded.

        Raises:
            RunFailed: if it ended otherwise, or has not ended.
        """
        if not self.succeeded:
            raise failure_of(self)
        return self

    def watch(self, *, logs: bool = True, timeout: float | None = None) -> Iterator[Event]:
        """Tell what happens to it, from the beginning until it has ended; with `logs` what stages write too."""
        return self._client.watch(self.id, logs=logs, timeout=timeout)

    def logs(self, stage: str = "", *, follow: bool = False) -> Iterator[Line]:
        """Return what stages wrote, or one of them; with `follow` until the run has ended.

        Of a stage whose result was known: what it wrote in the run that computed it.
        """
        return map(Line.of, self._client.logs(self.id, stage=stage, follow=follow))

    def stop(self) -> Self:
        """Ask that it be stopped; `wait` waits for that. Harmless when it has ended. Returns itself."""
        self._hear(self._client.stop(self.id).record)
        return self

    def retry(self, *from_stages: str, name: str = "") -> Run:
        """Submit it once more, as it was submitted: what succeeded is used, the rest and `from_stages` run."""
        return self._client.retry(self.id, from_stages=from_stages, name=name)

    @property
    def stages(self) -> dict[str, Stage]:
        """Its stages by name; asked for when the run comes from a list, which has none."""
        if not self._record.stages:
            self.refresh()
        return self._stages()

    @property
    def metrics(self) -> dict[str, Any]:
        """The values of its metrics files, by path. A file that cannot be read is not among them."""
        return self._client.run_results(self.id, "metrics")

    @property
    def params(self) -> dict[str, Any]:
        """The values of the parameters it ran with, by path of the file."""
        return self._client.run_results(self.id, "params")

    def apply(self, *, force: bool = False, outputs: bool = True) -> ApplyReport:
        """Write its dvc.lock, params and (with `outputs`) uncached outputs into the client's project.

        A dvc.lock or params file that was changed since the submission stays, unless forced.

        Raises:
            Refused: if it has not ended.
        """
        return self._client.apply(self, force=force, outputs=outputs)

    def pull(self, *paths: str, only: Pulled = "all") -> PullReport:
        """Bring its outputs into the client's project, verified; `paths` select some, or parts of folders."""
        if not self._record.stages:
            self.refresh()
        return self._client.pull(outs_of(self._record, only), paths)

    def bring_back(self, pull: Pulled = "metrics") -> ApplyReport:
        """Do what `wherry repro` does at its end: apply it, and bring some of its outputs."""
        report = self.apply(outputs=pull != "none")
        if pull != "none":
            from wherry.client.results import cached_outs  # noqa: PLC0415 - it can move content, which few do

            outs = cached_outs(self._record, shown_only=pull == "metrics")
            if outs:
                self._client.pull(outs)
        return report


def failure_of(run: RunFacts) -> RunFailed:
    """Say that a run did not succeed, and why."""
    why = f": {run.error}" if run.error else ""
    return RunFailed(
        f"run {run.id} ({run.name}) {'is' if not run.has_ended else 'ended as'} {run.state}{why}",
        hint=f"`wherry show {run.id}` shows its stages, `wherry logs {run.id}` what they wrote",
    )


def outs_of(record: RunRecord, only: Pulled) -> Sequence[Any]:
    """Choose outputs of a run."""
    from wherry.client.results import all_outs, cached_outs  # noqa: PLC0415

    if only == "none":
        return ()
    return all_outs(record) if only == "all" else cached_outs(record, shown_only=True)
