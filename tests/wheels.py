"""Python packages made by tests: nothing is fetched."""

import io
import zipfile
from collections.abc import Mapping, Sequence


def wheel(
    name: str, version: str, files: Mapping[str, str], requires: Sequence[str] = ()
) -> tuple[str, bytes]:
    """The name and content of a wheel of pure Python."""
    folder = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {wanted}\n" for wanted in requires]
    content = {
        **files,
        f"{folder}/METADATA": "".join(metadata),
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    names = [*content, f"{folder}/RECORD"]
    content[f"{folder}/RECORD"] = "".join(f"{inner},,\n" for inner in names)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for inner, text in content.items():
            archive.writestr(inner, text)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


BACKEND = '''\
"""A build backend in the project itself: makes an editable wheel that tells what it could do."""
import os
import zipfile

NAME = "probe-1.0"


def _rights():
    lines = open("/proc/self/status").read().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def get_requires_for_build_editable(config_settings=None):
    return []


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    status = _rights()
    seen = {
        "bounding": status["CapBnd"],
        "no_new_privileges": status["NoNewPrivs"],
        "socket": os.path.exists("/var/run/docker.sock"),
        "environment": sorted(name for name in os.environ if "WHERRY" in name or "AWS" in name),
    }
    files = {
        "probe_path.pth": os.getcwd() + "/src\\n",
        "probe_seen.py": f"SEEN = {seen!r}\\n",
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\\nName: probe\\nVersion: 1.0\\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{NAME}.dist-info/RECORD"] = "".join(f"{name},,\\n" for name in files)
    path = f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, path), "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path
'''
"""A module for the `backend-path` of a project."""
