"""*.dvc files: data that DVC tracks and no stage makes.

An import counts as the data it brought, pinned as it is: only `dvc update` changes it. Of one that is not frozen `dvc repro`
would first see whether its source has changed; the service does not reach the source, so what is recorded counts, and
whoever submits is told. A hash of DVC 2 (no `hash: md5`
beside it) is taken for what it mostly is, the MD5 of the content; of text with Windows line ends it is not, and then
the data is not found under it. Refused until they are understood: versions kept by a cloud, imports that were never
downloaded.
"""

import posixpath

from wherry.service.domain.blob import parse_blob_hash
from wherry.service.domain.dvc.context import folder_of
from wherry.service.domain.dvc.pipeline_file import is_dvc_file
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.stage import DataSource, SourceOutput, StageName
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import DigestMalformed
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings, is_inside_root

_FILE_KEYS = frozenset({"md5", "wdir", "deps", "outs", "frozen", "locked", "always_changed", "desc", "meta"})
_CLOUD_KEYS = frozenset({"etag", "checksum", "version_id", "cloud", "files"})
_OUT_KEYS = frozenset(
    {
        *("path", "md5", "size", "nfiles", "isexec", "hash", "cache", "persist", "remote", "push"),
        *("desc", "type", "labels", "meta", "fs_config"),
        *_CLOUD_KEYS,
    }
)


def parse_data_file(data: bytes, path: ProjectPath, around: Surroundings = NOWHERE) -> DataSource:
    """Read a .dvc file. `around` says where the project lies, for absolute paths.

    Raises:
        PipelineInvalid: with the place, if DVC would refuse the file or Wherry does not understand it yet.
    """
    document = parse_yaml(data, path)
    root = Shape(document, (), {} if document.value is None else document.value, path, around)
    fields = root.fields(_FILE_KEYS)
    for name in ("frozen", "locked", "always_changed"):
        if name in fields:
            fields[name].flag()
    origins: tuple[str, ...] = ()
    if fields.get("deps") is not None and fields["deps"].value:
        deps = fields["deps"].items()
        if not any(name in fields and fields[name].value for name in ("frozen", "locked")):
            origins = tuple(_read_origin(item, path) for item in deps)
    folder = ProjectPath(posixpath.dirname(path) or ".")
    wdir = fields.get("wdir")
    if wdir is not None and wdir.value is not None:
        folder = wdir.path_inside(folder, wdir.text(), "wdir")
    outs = fields.get("outs")
    items = outs.items() if outs is not None and outs.value is not None else ()
    return DataSource(
        name=StageName(path),
        file=path,
        place=document.place("outs"),
        outs=tuple(_read_out(item, folder) for item in items),
        origins=origins,
    )


def _read_origin(item: Shape, file: ProjectPath) -> str:
    """Where an import came from, as DVC prints it. What comes from the project itself changes with it."""
    fields = item.mapping()
    if "path" not in fields:
        raise item.refuse("what it was imported from has no path")
    path = item.inner("path", fields["path"])
    if "repo" in fields:
        repo = item.inner("repo", fields["repo"])
        return f"{path.text()} ({repo.inner('url', repo.mapping().get('url')).text()})"
    if is_inside_root(item.path_anywhere(folder_of(file), path.text())):
        raise path.not_yet(
            "imports from within the project that are not frozen",
            hint="Make it a stage that copies, or freeze it.",
        )
    return path.text()


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
    project_path = fields["path"].path_inside(folder, written, "output")
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
