"""The graph of outputs: which output is made from which, for `dag --outs`."""

from collections.abc import Mapping

from wherry.service.domain.dvc.graph import open_output_tree
from wherry.service.domain.dvc.output_tree import Owner
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage
from wherry.service.domain.paths import ProjectPath


def build_outputs_graph(pipeline: Pipeline) -> Mapping[ProjectPath, tuple[ProjectPath, ...]]:
    """For each output, say which outputs its stage reads from, in whole or in part.

    The outputs are in DVC's order: by the parts of their paths, each part where it was met first.
    """
    items: list[Stage | DataSource] = [*pipeline.stages.values(), *pipeline.sources.values()]
    tree = open_output_tree(items)
    for item in items:
        for out in item.outs:
            tree.add(Owner(item.name, item.place, out.project_path))
    upstream: dict[ProjectPath, tuple[ProjectPath, ...]] = {owner.path: () for owner in tree.all()}
    for stage in pipeline.stages.values():
        owners = (owner for item in stage.inputs for owner in tree.touching(item.project_path))
        producers = tuple(dict.fromkeys(owner.path for owner in owners))
        upstream.update((out.project_path, producers) for out in stage.outs)
    return upstream
