"""Stages to be added from the wire; changed files and mistakes to it."""

from collections.abc import Iterable

from wherry.service.domain.dvc.stage_add import NewOutput, NewStage
from wherry.service.domain.errors import InvalidInput, PipelineInvalid, Place
from wherry.service.domain.limits import TARGETS_MAX
from wherry.service.domain.records import OutputKind
from wherry.service.rpc.convert import expect_at_most
from wherry.service.usecases.add_stage import AddedStage
from wherry.v1 import pipelines_pb2

_KIND_FROM = {
    pipelines_pb2.OUTPUT_KIND_OUT: OutputKind.OUT,
    pipelines_pb2.OUTPUT_KIND_METRIC: OutputKind.METRIC,
    pipelines_pb2.OUTPUT_KIND_PLOT: OutputKind.PLOT,
}


def new_stage_from(message: pipelines_pb2.NewStage) -> NewStage:
    """Read a stage to be added.

    Raises:
        InvalidInput: and its kinds, for what is malformed or too much.
    """
    count = len(message.deps) + len(message.params) + len(message.outs)
    expect_at_most(count, TARGETS_MAX, "dependencies, parameters and outputs")
    texts = (message.name, *message.command, message.wdir, *message.deps, *message.params, message.desc)
    if any("\0" in text for text in texts):
        raise InvalidInput("a stage cannot have a NUL character in it")
    return NewStage(
        name=message.name,
        command=tuple(message.command),
        wdir=message.wdir,
        deps=tuple(message.deps),
        params=tuple(message.params),
        outs=tuple(_output_from(out) for out in message.outs),
        always_changed=message.always_changed,
        desc=message.desc,
    )


def added_stage_to(added: AddedStage) -> pipelines_pb2.AddedStage:
    """Write a changed dvc.yaml."""
    return pipelines_pb2.AddedStage(
        path=added.path,
        previous_hash=added.previous_hash,
        content=added.content,
        git_ignored=added.git_ignored,
    )


def lint_report_to(mistakes: Iterable[PipelineInvalid]) -> pipelines_pb2.LintReport:
    """Write mistakes."""
    return pipelines_pb2.LintReport(problems=[_problem_to(mistake) for mistake in mistakes])


def _output_from(message: pipelines_pb2.NewOutput) -> NewOutput:
    if message.kind not in _KIND_FROM:
        raise InvalidInput(f"the output {message.path!r} has no kind")
    return NewOutput(
        path=message.path, kind=_KIND_FROM[message.kind], cache=message.cache, persist=message.persist
    )


def _problem_to(mistake: PipelineInvalid) -> pipelines_pb2.LintProblem:
    place = mistake.place or Place(path="")
    return pipelines_pb2.LintProblem(
        path=place.path,
        line=place.line,
        column=place.column,
        reason=mistake.reason,
        message=mistake.message,
        hint=mistake.hint,
    )
