"""*.dvc files: data that DVC tracks and no stage makes.

An import counts as the data it brought, pinned as it is: only `dvc update` changes it. A hash of DVC 2 (no `hash: md5`
beside it) is taken for what it mostly is, the MD5 of the content; of text with Windows line ends it is not, and then
the data is not found under it. Refused until they are understood: versions kept by a cloud, imports that were never
downloaded.
"""

import posixpath
from types import MappingProxyType

from wherry.service.domain.blob import parse_blob_hash
from wherry.service.domain.dvc.pipeline_file import is_dvc_file
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.stage import DataSource, SourceOutput, StageName
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import DigestMalformed
from wherry.service.domain.paths import ProjectPath

_FILE_KEYS = frozenset({"md5", "wdir", "deps", "outs", "frozen", "locked", "always_changed", "desc", "meta"})
_FORMER_KEYS = MappingProxyType({"cmd": "DVC 1 kept stages in .dvc files; they belong into dvc.yaml now."})
_CLOUD_KEYS = frozenset({"etag", "checksum", "version_id", "cloud", "files"})
_OUT_KEYS = frozenset(
    {
        *("path", "md5", "size", "nfiles", "isexec", "hash", "cache", "persist", "remote", "push"),
        *("desc", "type", "labels", "meta", "fs_config"),
        *_CLOUD_KEYS,
    }
)


def parse_data_file(data: bytes, path: ProjectPath) -> DataSource:
    """Read a .dvc file.

    Raises:
        PipelineInvalid: with the place, if DVC would refuse the file or Wherry does not understand it yet.
    """
    document = parse_yaml(data, path)
    root = Shape(document, (), {} if document.value is None else document.value, path)
    fields = root.fields(_FILE_KEYS, former=_FORMER_KEYS)
    for name in ("frozen", "locked", "always_changed"):
        if name in fields:
            fields[name].flag()
    if fields.get("deps") is not None and fields["deps"].value:
        fields["deps"].items()
        if not any(name in fields and fields[name].value for name in ("frozen", "locked")):
            raise fields["deps"].not_yet("imports that are not frozen")
    folder = ProjectPath(posixpath.dirname(path) or ".")
    wdir = fields.get("wdir")
    if wdir is not None and wdir.value is not None:
        folder = wdir.project_path(folder, wdir.text(), "wdir")
    outs = fields.get("outs")
    items = outs.items() if outs is not None and outs.value is not None else ()
    return DataSource(
        name=StageName(path),
        file=path,
        place=document.place("outs"),
        outs=tuple(_read_out(item, folder) for item in items),
    )


def _read_out(item: Shape, folder: ProjectPath) -> SourceOutput:
    fields = item.fields(_OUT_KEYS)
    if "path" not in fields:
        raise item.refuse("the data has no path")
    for key in sorted(_CLOUD_KEYS & fields.keys()):
        raise fields[key].not_yet(f"data versioned by a cloud (`{key}`)")
    if "md5" not in fields or not fields["md5"].value:
        raise item.refuse(
            "the data has no hash", hint="Download it with `dvc update`, or track it with `dvc add`."
        )
    written = fields["path"].text()
    if "hash" in fields and fields["hash"].value != "md5":
        raise fields["hash"].not_yet(f"hashes of the kind {fields['hash'].value!r}")
    project_path = fields["path"].project_path(folder, written, "output")
    if is_dvc_file(project_path):
        raise fields["path"].refuse(f"{written!r} is a DVC file; it cannot be tracked data")
    try:
        blob = parse_blob_hash(fields["md5"].text())
    except DigestMalformed as exc:
        raise fields["md5"].refuse(f"{fields['md5'].value!r} is no MD5 as DVC writes it") from exc
    return SourceOutput(
        path=written,
        project_path=project_path,
        hash=blob,
        total_bytes=fields["size"].number() if "size" in fields else None,
        nfiles=fields["nfiles"].number() if "nfiles" in fields else None,
        executable=fields["isexec"].flag() if "isexec" in fields else False,
        is_legacy="hash" not in fields,
    )
