"""Open what has to do with images: the engine's store of them, and those that are made."""

import contextlib
from collections.abc import Mapping

import structlog

from wherry.service.adapters.build_networks_docker import NoBuildNetworks
from wherry.service.adapters.clock_system import SystemClock
from wherry.service.adapters.engine_client import EngineClient
from wherry.service.adapters.image_maker_docker import BuildLimits, DockerImageMaker
from wherry.service.adapters.image_store_docker import DockerImageStore
from wherry.service.adapters.image_uses_file import FileImageUses
from wherry.service.adapters.installer_pip import pip_program
from wherry.service.adapters.pip_settings import PipSettings
from wherry.service.bootstrap.network import build_networks
from wherry.service.config import Settings
from wherry.service.ports.workspaces import NodeCache
from wherry.service.usecases.ready_images import ReadyImages
from wherry.service.usecases.trim_images import TrimImages

# Mostly download and compile; the bound of memory counts for each.
_IMAGES_AT_ONCE = 2

MADE_BY = "wherry.made-by"
"""Label of images that a service has made."""


def open_images(
    settings: Settings,
    *,
    node: NodeCache,
    labels: Mapping[str, str],
    stack: contextlib.AsyncExitStack,
) -> tuple[DockerImageStore, ReadyImages]:
    """The images that there are, and a way to have one at hand; `stack` closes them."""
    client = EngineClient()
    stack.callback(client.close)
    networks = build_networks(settings, labels, service=labels["wherry.home"], client=client, stack=stack)
    store = DockerImageStore(client, credentials=settings.registry_config)
    maker = DockerImageMaker(
        client=client,
        networks=networks if settings.build_network else NoBuildNetworks(),
        labels=labels,
        image_labels={MADE_BY: labels["wherry.home"]},
        pip=PipSettings(config=settings.pip_config, ca_bundle=settings.pip_ca_bundle),
        limits=BuildLimits(
            memory_bytes=int(settings.build_memory_gb * 2**30),
            cpus=settings.build_cpus,
            disk_bytes=int(settings.build_disk_gb * 10**9),
        ),
    )
    trim = TrimImages(
        made=maker,
        uses=FileImageUses(settings.home / "images.json"),
        clock=SystemClock(),
        log=structlog.get_logger("wherry"),
        bytes_max=int(settings.images_gb * 10**9),
    )
    return store, ReadyImages(
        store=store, maker=maker, node=node, trim=trim, installer=pip_program(), at_once=_IMAGES_AT_ONCE
    )
