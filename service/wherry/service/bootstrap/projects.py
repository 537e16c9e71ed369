"""Build what reads projects, and says what would become of their stages."""

from dataclasses import dataclass

from wherry.service.adapters.installer_pip import pip_version
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.bootstrap.content import Content
from wherry.service.bootstrap.parts import Parts
from wherry.service.config import Settings
from wherry.service.domain.resources import Machine
from wherry.service.ports.param_composer import ParamComposer
from wherry.service.ports.run_cache import RunCache
from wherry.service.usecases.check_data import CheckData
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_nearest_result import FindNearestResult
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.plan_run import PlanRun
from wherry.service.usecases.read_dvc_files import ReadDvcFiles
from wherry.service.usecases.read_ignore_rules import ReadIgnoreRules
from wherry.service.usecases.read_project import ReadProject
from wherry.service.usecases.resolve_builds import ResolveBuilds
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_requirements import ResolveRequirements
from wherry.service.usecases.resolve_stage import ResolveStage
from wherry.service.usecases.set_params import SetParams

# Each is a process that may use a gigabyte.
_COMPOSITIONS_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Projects:
    """The use cases about projects."""

    composer: ParamComposer
    files: ReadDvcFiles
    read: ReadProject
    open: OpenProject
    resolve: ResolveStage
    cache: RunCache
    find: FindResult
    nearest: FindNearestResult
    plan: PlanRun


def build_projects(settings: Settings, parts: Parts, content: Content, machine: Machine) -> Projects:
    """Build them; stages may ask for no more than `machine` has."""
    put, read, index = content.put, content.read, content.index
    composer, cache = HydraParamComposer(at_once=_COMPOSITIONS_AT_ONCE), SqlRunCache(parts.database)
    read_project = ReadProject(
        sources=content.sources, read=read, set_params=SetParams(put=put, read=read, composer=composer)
    )
    open_project = OpenProject(
        read=read_project,
        check=CheckData(index=index, adopt=content.adopt, adopt_legacy=content.adopt_legacy, read=read),
        rules=ReadIgnoreRules(read),
        images=ResolveImages(
            images=parts.image_store,
            builds=ResolveBuilds(read=read),
            requirements=ResolveRequirements(read=read, installer=pip_version()),
            default_image=settings.default_image,
            pull=settings.pull,
        ),
        find_vanished=content.find_vanished,
        machine=machine,
    )
    dvc = FindDvcResult(objects=parts.objects, index=index, adopt=content.adopt, read=read)
    find, nearest = (
        FindResult(cache=cache, index=index, adopt=content.adopt, dvc=dvc),
        FindNearestResult(cache),
    )
    resolve = ResolveStage(
        index=index, read=read, legacy=content.legacy, recorded=content.recorded, network=parts.network
    )
    plan = PlanRun(
        open_project=open_project,
        resolve=resolve,
        recorded=content.recorded,
        find=find,
        nearest=nearest,
        server_settings={
            "image": settings.default_image,
            "pull": settings.pull,
            "network": "allow" if parts.network.gives(None)[0] else "deny",
        },
    )
    return Projects(
        composer=composer,
        files=ReadDvcFiles(sources=content.sources, read=read),
        read=read_project,
        open=open_project,
        resolve=resolve,
        cache=cache,
        find=find,
        nearest=nearest,
        plan=plan,
    )
