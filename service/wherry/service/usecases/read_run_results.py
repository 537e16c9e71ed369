"""Read the results of a run: of the project that was submitted, with what its stages have produced so far."""

from wherry.service.domain.submission import Needs
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.keep_snapshot import KeepSnapshot
from wherry.service.usecases.read_results import ReadResults, ResultQuery, Results


class ReadRunResults:
    """Reads what a run left, with nobody to be asked for more."""

    def __init__(self, *, results: ReadResults, runs: RunStore, snapshots: KeepSnapshot) -> None:
        """Find runs in `runs` and their projects through `snapshots`."""
        self._results = results
        self._runs = runs
        self._snapshots = snapshots

    async def __call__(self, name: str, query: ResultQuery) -> Results:
        """Answer the query for the run with this id or name.

        Raises:
            RunUnknown: if there is no such run.
            SnapshotUnknown: if its project was not kept.
            PipelineInvalid: never of a run that was accepted, but of what reads it today.
        """
        run = await self._runs.get(name)
        answer = await self._results(await self._snapshots.of(run), query, stages=run.stages)
        assert not isinstance(answer, Needs), "all files of a run are held"
        return answer
