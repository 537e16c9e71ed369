"""Pipelines and plans to the wire."""

from wherry.service.domain.dvc.addresses import address_from
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage, StageName
from wherry.service.domain.paths import ROOT
from wherry.service.domain.records import OutputKind
from wherry.service.domain.run import FileRecord
from wherry.service.domain.states import HitSource
from wherry.service.usecases.describe_pipeline import Description
from wherry.service.usecases.plan_run import Decision, Plan, PlannedStage
from wherry.v1 import pipelines_pb2

KIND_TO = {
    OutputKind.OUT: pipelines_pb2.OUTPUT_KIND_OUT,
    OutputKind.METRIC: pipelines_pb2.OUTPUT_KIND_METRIC,
    OutputKind.PLOT: pipelines_pb2.OUTPUT_KIND_PLOT,
}

DECISION_TO = {
    Decision.HIT: pipelines_pb2.DECISION_HIT,
    Decision.RUN: pipelines_pb2.DECISION_RUN,
    Decision.WAITS: pipelines_pb2.DECISION_WAITS,
    Decision.FROZEN: pipelines_pb2.DECISION_FROZEN,
    Decision.INVALID: pipelines_pb2.DECISION_INVALID,
}


_SOURCE_TO = {
    HitSource.RUN: pipelines_pb2.HIT_SOURCE_RUN,
    HitSource.DVC_LOCK: pipelines_pb2.HIT_SOURCE_DVC_LOCK,
    HitSource.DVC_RUN_CACHE: pipelines_pb2.HIT_SOURCE_DVC_RUN_CACHE,
}


def source_to(source: HitSource | None) -> "pipelines_pb2.HitSource.ValueType":
    """Write who vouches for a hit."""
    return _SOURCE_TO[source] if source else pipelines_pb2.HIT_SOURCE_UNSPECIFIED


def pipeline_to(description: Description) -> pipelines_pb2.Pipeline:
    """Write the shown part of a pipeline, with the edges inside it; names as seen from the working folder."""
    pipeline = description.pipeline
    shown = {name: address_from(pipeline, name, description.folder) for name in description.shown}
    outputs = {
        pipeline.around.shown(path, ROOT): [pipeline.around.shown(before, ROOT) for before in producers]
        for path, producers in description.outputs.items()
    }
    positions = {name: position for position, name in enumerate((*pipeline.stages, *pipeline.sources))}
    stages = []
    for name, address in shown.items():
        message = _node_to(pipeline, name)
        message.name, message.position = address, positions[name]
        stages.append(message)
    return pipelines_pb2.Pipeline(
        stages=stages,
        edges=[
            pipelines_pb2.PipelineEdge(producer=shown[producer], consumer=shown[name])
            for name in description.shown
            for producer in pipeline.upstream.get(name, ())
            if producer in shown
        ],
        outputs=outputs,
        output_edges=[
            pipelines_pb2.PipelineEdge(producer=producer, consumer=path)
            for path, producers in outputs.items()
            for producer in producers
            if producer in outputs
        ],
    )


def plan_to(plan: Plan) -> pipelines_pb2.Plan:
    """Write a plan."""
    return pipelines_pb2.Plan(
        stages=[_planned_to(stage) for stage in plan.stages],
        sources=[file_to(source) for source in plan.sources],
    )


def file_to(record: FileRecord) -> pipelines_pb2.FileRecord:
    """Write a file or folder with its content."""
    return pipelines_pb2.FileRecord(
        path=record.path,
        hash=record.hash,
        size_bytes=record.size_bytes,
        nfiles=record.nfiles,
        executable=record.executable,
        kind=KIND_TO[record.kind] if record.kind else pipelines_pb2.OUTPUT_KIND_UNSPECIFIED,
        cache=record.cache and record.kind is not None,
    )


def _planned_to(stage: PlannedStage) -> pipelines_pb2.PlannedStage:
    return pipelines_pb2.PlannedStage(
        name=stage.name,
        decision=DECISION_TO[stage.decision],
        reasons=stage.reasons,
        key=stage.key,
        outs=[file_to(out) for out in stage.outs],
        source=source_to(stage.source),
        settings=[
            pipelines_pb2.EffectiveSetting(name=setting.name, value=setting.value, origin=setting.origin)
            for setting in stage.settings
        ],
    )


def _node_to(pipeline: Pipeline, name: StageName) -> pipelines_pb2.PipelineStage:
    if name in pipeline.sources:
        return _source_to(pipeline.sources[name])
    return _stage_to(pipeline.stages[name])


def _source_to(source: DataSource) -> pipelines_pb2.PipelineStage:
    outs = [
        pipelines_pb2.PipelineOutput(path=out.project_path, kind=pipelines_pb2.OUTPUT_KIND_OUT, cache=True)
        for out in source.outs
    ]
    return pipelines_pb2.PipelineStage(name=source.name, wdir=".", outs=outs, is_source=True)


def _stage_to(stage: Stage) -> pipelines_pb2.PipelineStage:
    return pipelines_pb2.PipelineStage(
        name=stage.name,
        cmd=[stage.cmd] if isinstance(stage.cmd, str) else stage.cmd,
        cmd_is_list=not isinstance(stage.cmd, str),
        wdir=stage.wdir,
        file=stage.place.path,
        line=stage.place.line,
        frozen=stage.frozen,
        always_changed=stage.always_changed,
        deps=[dep.project_path for dep in stage.deps],
        params=[
            pipelines_pb2.PipelineParams(file=params.project_path, keys=params.keys or ())
            for params in stage.params
        ],
        outs=[
            pipelines_pb2.PipelineOutput(
                path=out.project_path, kind=KIND_TO[out.kind], cache=out.cache, persist=out.persist
            )
            for out in stage.outs
        ],
    )
