"""Which stages may be spared, by all that the stage itself says."""

from wherry.service.domain.dvc.stage import Stage


def is_cacheable(stage: Stage) -> bool:
    """Whether a result of the stage may stand for running it, for everybody.

    Without inputs nothing says when a result is outdated; without outputs the command's effect is
    what is wanted: DVC keeps neither in its run cache.
    """
    return not stage.runs_always and bool(stage.outs) and bool(stage.deps or stage.params)


def may_stand_recorded(stage: Stage, *, trusts_dvc: bool) -> bool:
    """Whether what dvc.lock records of the stage can stand for running it.

    It does for a frozen stage, for one that goes on from its persistent outputs, where nothing else says that the
    stage need not run again, and where the project trusts DVC's records.
    """
    if stage.frozen:
        return True
    believed = trusts_dvc or stage.persistent_outs or not is_cacheable(stage)
    return not stage.runs_always and bool(believed)
