"""The graph of outputs: which output is made from which, for `dag --outs`."""

from collections.abc import Mapping

from wherry.service.domain.dvc.output_tree import OutputTree, Owner
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage
from wherry.service.domain.paths import ROOT, ProjectPath


def build_outputs_graph(pipeline: Pipeline) -> Mapping[ProjectPath, tuple[ProjectPath, ...]]:
    """For each output, say which outputs its stage reads from, in whole or in part.

    The outputs are in DVC's order: by the parts of their paths, each part where it was met first.
    """
    tree = OutputTree()
    items: list[Stage | DataSource] = [*pipeline.stages.values(), *pipeline.sources.values()]
    for item in items:
        for out in item.outs:
            tree.add(Owner(item.name, item.place, out.project_path))
    upstream: dict[ProjectPath, tuple[ProjectPath, ...]] = {owner.path: () for owner in tree.touching(ROOT)}
    for stage in pipeline.stages.values():
        read = [*(dep.project_path for dep in stage.deps), *(params.project_path for params in stage.params)]
        producers = tuple(dict.fromkeys(owner.path for path in read for owner in tree.touching(path)))
        upstream.update((out.project_path, producers) for out in stage.outs)
    return upstream
