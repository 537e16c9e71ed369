"""Explanations and comparisons to the wire."""

import json

from google.protobuf.timestamp_pb2 import Timestamp

from wherry.service.domain.dvc.changes import status_document
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.explanation import Difference, Part, describe
from wherry.service.domain.paths import PATH_BYTES_MAX, ProjectPath
from wherry.service.rpc.convert_pipelines import DECISION_TO, source_to
from wherry.service.usecases.compare_with_lock import Comparison
from wherry.service.usecases.explain_stage import Explanation, Origin
from wherry.v1 import pipelines_pb2

_PART_TO = {
    Part.COMMAND: pipelines_pb2.KEY_PART_COMMAND,
    Part.DEPENDENCY: pipelines_pb2.KEY_PART_DEPENDENCY,
    Part.PARAMETER: pipelines_pb2.KEY_PART_PARAMETER,
    Part.OUTPUT: pipelines_pb2.KEY_PART_OUTPUT,
    Part.IMAGE: pipelines_pb2.KEY_PART_IMAGE,
    Part.PLATFORM: pipelines_pb2.KEY_PART_PLATFORM,
    Part.ENVIRONMENT: pipelines_pb2.KEY_PART_ENVIRONMENT,
    Part.NETWORK: pipelines_pb2.KEY_PART_NETWORK,
    Part.IGNORED: pipelines_pb2.KEY_PART_IGNORED,
    Part.PREVIOUS: pipelines_pb2.KEY_PART_PREVIOUS,
    Part.UNDECLARED: pipelines_pb2.KEY_PART_UNDECLARED,
}


def run_stage_from(message: pipelines_pb2.RunStage) -> tuple[str, str]:
    """Read which stage of which run is meant.

    Raises:
        InvalidInput: if either is missing or longer than it can be.
    """
    for what, text in (("run", message.run), ("stage", message.stage)):
        if not text or len(text) > PATH_BYTES_MAX:
            raise InvalidInput(f"the {what} must have 1 to {PATH_BYTES_MAX} characters")
    return message.run, message.stage


def explanation_to(explanation: Explanation) -> pipelines_pb2.Explanation:
    """Write an explanation."""
    return pipelines_pb2.Explanation(
        stage=explanation.stage,
        decision=DECISION_TO[explanation.decision],
        reasons=explanation.reasons,
        key=explanation.key,
        origin=_origin_to(explanation.origin),
        source=source_to(explanation.source),
        nearest=_origin_to(explanation.nearest),
        differences=[difference_to(difference) for difference in explanation.differences],
    )


def lock_status_to(comparison: Comparison, folder: ProjectPath) -> pipelines_pb2.LockStatus:
    """Write a comparison as DVC does in `folder`."""
    return pipelines_pb2.LockStatus(
        document_json=json.dumps(
            status_document(comparison.changes, folder=folder, around=comparison.around)
        ),
        frozen=[name for name, changes in comparison.changes.items() if changes.frozen],
        unseen=[
            pipelines_pb2.UnseenPath(stage=name, path=path)
            for name, paths in comparison.unseen.items()
            for path in paths
        ],
    )


def _origin_to(origin: Origin | None) -> pipelines_pb2.ResultOrigin | None:
    if origin is None:
        return None
    message = pipelines_pb2.ResultOrigin(run=origin.run_id, user=origin.user)
    if origin.created_at is not None:
        stamp = Timestamp()
        stamp.FromDatetime(origin.created_at)
        message.created_at.CopyFrom(stamp)
    return message


def difference_to(difference: Difference) -> pipelines_pb2.Difference:
    """Write one part that is not the same."""
    return pipelines_pb2.Difference(
        part=_PART_TO[difference.part],
        name=difference.name,
        before=difference.before,
        after=difference.after,
        text=describe(difference),
    )
