"""The operator's settings of pip, as a container that installs packages is given them."""

from dataclasses import dataclass
from pathlib import Path

from wherry.service.ports.images import Content

_CA_AT = "/tmp/wherry/ca.pem"  # noqa: S108 - inside a container
_PIP_CONFIG_AT = "/tmp/wherry/pip.conf"  # noqa: S108 - inside a container


@dataclass(frozen=True, slots=True, kw_only=True)
class PipSettings:
    """The operator's own settings of pip. They are no part of images and of no key."""

    config: Path | None = None
    """A pip.conf."""
    ca_bundle: Path | None = None
    """Certificate authorities of the index."""


def exports(pip: PipSettings) -> str:
    """What comes before a script that installs: a part of no image."""
    found = {
        "PIP_NO_INPUT": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
        # Nobody else manages this container's packages.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        # There is no git folder to take a version from.
        "SETUPTOOLS_SCM_PRETEND_VERSION": "0",
    }
    if pip.config is not None:
        found["PIP_CONFIG_FILE"] = _PIP_CONFIG_AT
    if pip.ca_bundle is not None:
        found |= {"PIP_CERT": _CA_AT, "SSL_CERT_FILE": _CA_AT, "REQUESTS_CA_BUNDLE": _CA_AT}
    return "".join(f"export {name}={value}\n" for name, value in found.items())


def files_of(pip: PipSettings) -> dict[str, Content]:
    """The files that the settings name, by where they lie in the container."""
    found = {_PIP_CONFIG_AT: pip.config, _CA_AT: pip.ca_bundle}
    return {at: Content(source=path) for at, path in found.items() if path is not None}
