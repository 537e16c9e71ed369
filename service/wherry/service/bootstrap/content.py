"""Build what knows and moves content: blobs, trees, and who uses them."""

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.bootstrap.parts import Parts
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.direct_blobs import DirectBlobs
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.find_vanished import FindVanished
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.keep_snapshot import KeepSnapshot
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.pack_sources import PackSources
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.reconcile_packs import ReconcilePacks
from wherry.service.usecases.unpack_blobs import UnpackBlobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The use cases about content."""

    index: BlobIndex
    sources: FindSources
    reconcile: ReconcilePacks
    spool: Path
    """Folder for bodies that are under way."""
    put: PutBlobs
    read: ReadBlobs
    snapshots: KeepSnapshot
    direct: DirectBlobs
    adopt: AdoptBlobs
    adopt_legacy: AdoptLegacy
    note_use: NoteUse
    legacy: FindLegacyHashes
    recorded: FindRecorded
    publish_legacy: PublishLegacy
    find_vanished: FindVanished


async def open_content(
    home: Path, parts: Parts, *, clock: Clock, log: EventLog, stack: contextlib.AsyncExitStack
) -> Content:
    """Build them, and clear away uploads that nobody will finish."""
    index, spool, objects = SqlBlobIndex(parts.database, clock), home / "uploads", parts.objects
    _empty(spool)
    sources = FindSources(index=index, packs=parts.packs)
    put = PutBlobs(
        objects=objects,
        index=index,
        node=parts.node,
        spool=spool,
        first_stays=parts.first_stays,
        pack=PackSources(objects=objects, packs=parts.packs, sources=sources),
    )
    reconcile = ReconcilePacks(objects=objects, packs=parts.packs, clock=clock, log=log)
    reconcile.start()
    stack.push_async_callback(reconcile.close)
    read = ReadBlobs(parts.node)
    direct = DirectBlobs(transfers=parts.transfers, objects=objects, index=index)
    await direct.sweep()
    adopt = AdoptBlobs(
        index=index,
        objects=objects,
        read=read,
        unpack=UnpackBlobs(packs=parts.packs, reader=parts.pack_reader, put=put),
    )
    adopt_legacy = AdoptLegacy(objects=objects, index=index, put=put, spool=spool)
    note_use = NoteUse(index=index, packs=parts.packs, log=log)
    stack.push_async_callback(note_use.close)
    legacy = FindLegacyHashes(held=sources, read=read, node=parts.node)
    forget = ForgetBlobs(objects=objects, index=index)
    return Content(
        index=index,
        sources=sources,
        reconcile=reconcile,
        spool=spool,
        put=put,
        read=read,
        snapshots=KeepSnapshot(put=put, node=parts.node),
        direct=direct,
        adopt=adopt,
        adopt_legacy=adopt_legacy,
        note_use=note_use,
        legacy=legacy,
        recorded=FindRecorded(index=index, legacy=legacy, adopt=adopt_legacy),
        publish_legacy=PublishLegacy(objects=objects, index=index, read=read, legacy=legacy, log=log),
        find_vanished=FindVanished(
            adopt=adopt,
            forget=forget,
            index=index,
            packs=reconcile,
            sources=sources,
            read=read,
            log=log,
        ),
    )


def _empty(folder: Path) -> None:
    """Remove what an earlier life left; the folder itself may be a disk of its own."""
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink()
