"""What a stage read and wrote, by paths in the project, for people."""

from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.limits import UNDECLARED_SHOWN_MAX
from wherry.service.domain.reads import Reads
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.run import FileRecord


def output_records(stage: Stage, entry: StageEntry) -> tuple[FileRecord, ...]:
    """The declared outputs with their content."""
    made = {out.path: out for out in entry.outs}
    return tuple(
        FileRecord(
            path=out.project_path,
            hash=made[out.path].hash,
            size_bytes=made[out.path].size_bytes,
            nfiles=made[out.path].nfiles,
            executable=made[out.path].executable,
            kind=out.kind,
            cache=out.cache,
        )
        for out in stage.outs
    )


def dependency_records(stage: Stage, deps: tuple[FileEntry, ...]) -> tuple[FileRecord, ...]:
    """The declared dependencies with their content."""
    at = {dep.path: dep.project_path for dep in stage.deps}
    return tuple(
        FileRecord(
            path=at[dep.path],
            hash=dep.hash,
            size_bytes=dep.size_bytes,
            nfiles=dep.nfiles,
            executable=dep.executable,
        )
        for dep in deps
    )


def undeclared_records(reads: Reads | None) -> tuple[FileRecord, ...]:
    """The files that were read without being declared; of very many the first."""
    if reads is None:
        return ()
    return tuple(
        FileRecord(path=file.path, hash=file.hash, size_bytes=file.size_bytes, executable=file.executable)
        for file in reads.files[:UNDECLARED_SHOWN_MAX]
    )
