"""Build what looks after the run cache."""

from wherry.service.adapters.result_catalog_sql import SqlResultCatalog
from wherry.service.bootstrap.content import Content
from wherry.service.bootstrap.parts import Parts
from wherry.service.ports.clock import Clock
from wherry.service.ports.runs import RunStore
from wherry.service.rpc.cache import CacheServicer
from wherry.service.usecases.browse_results import BrowseResults
from wherry.service.usecases.collect_garbage import CollectGarbage
from wherry.service.usecases.collect_packs import CollectPacks


def build_cache_servicer(parts: Parts, *, content: Content, runs: RunStore, clock: Clock) -> CacheServicer:
    """Put the use cases together over the parts."""
    catalog = SqlResultCatalog(parts.database)
    return CacheServicer(
        browse=BrowseResults(catalog=catalog, clock=clock),
        collect=CollectGarbage(
            catalog=catalog,
            runs=runs,
            objects=parts.objects,
            index=content.index,
            packs=CollectPacks(objects=parts.objects, packs=parts.packs, reconcile=content.reconcile),
            clock=clock,
        ),
    )
