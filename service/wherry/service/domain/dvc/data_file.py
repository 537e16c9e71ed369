"""*.dvc files: data that DVC tracks and no stage makes.

An import counts as the data it brought, pinned as it is: only `dvc update` changes it. Of one that is not frozen
`dvc repro` would first see whether its source has changed; the service does not reach the source, so what is recorded
counts, and whoever submits is told. Data without a hash, as of an
import that was never downloaded, is read: whether it is needed is for others to know.
"""

import posixpath
from types import MappingProxyType

from wherry.service.domain.dvc.context import folder_of
from wherry.service.domain.dvc.pipeline_file import is_dvc_file
from wherry.service.domain.dvc.recorded_hash import CONTENT_KEYS, read_content
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.stage import DataSource, SourceOutput, StageName
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings, is_inside_root

_FILE_KEYS = frozenset({"md5", "wdir", "deps", "outs", "frozen", "locked", "always_changed", "desc", "meta"})
_FORMER_KEYS = MappingProxyType({"cmd": "DVC 1 kept stages in .dvc files; they belong into dvc.yaml now."})
_OUT_KEYS = CONTENT_KEYS | {
    *("path", "cache", "persist", "remote", "push"),
    *("desc", "type", "labels", "meta", "fs_config"),
}


def parse_data_file(data: bytes, path: ProjectPath, around: Surroundings = NOWHERE) -> DataSource:
    """Read a .dvc file. `around` says where the project lies, for absolute paths.

    Raises:
        PipelineInvalid: with the place, if DVC would refuse the file, or Wherry does not understand it yet.
    """
    document = parse_yaml(data, path)
    root = Shape(document, (), {} if document.value is None else document.value, path, around)
    fields = root.fields(_FILE_KEYS, former=_FORMER_KEYS)
    flags = {
        name: fields[name].flag() if name in fields else False
        for name in ("frozen", "locked", "always_changed")
    }
    frozen = flags["frozen"] or flags["locked"]
    deps = fields["deps"].items() if "deps" in fields and fields["deps"].value is not None else ()
    origins = () if frozen else tuple(_read_origin(item, path) for item in deps)
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
        frozen=frozen,
        always_changed=flags["always_changed"],
        # An import has one rightly; whether it is the right one is for DVC to know.
        has_wrong_checksum=("md5" in fields and fields["md5"].value is not None)
        is not (len(deps) == 1 and len(items) == 1),
    )


def _read_origin(item: Shape, file: ProjectPath) -> str:
    """Where an import came from, as DVC prints it. What comes from the project itself changes with it."""
    fields = item.mapping()
    if "path" not in fields:
        raise item.refuse(
            "what it was imported from has no path", hint="Import it once more: dvc import or dvc import-url."
        )
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
        raise item.refuse("the data has no path", hint="Track it once more: dvc add.")
    written = fields["path"].text()
    project_path = fields["path"].path_inside(folder, written, "path")
    if is_dvc_file(project_path):
        raise fields["path"].refuse(f"{written!r} is a DVC file; it cannot be tracked data")
    content = read_content(fields)
    return SourceOutput(
        path=written,
        project_path=project_path,
        place=item.place,
        hash=content.hash,
        total_bytes=content.total_bytes,
        nfiles=content.nfiles,
        executable=content.executable,
        is_legacy=content.is_legacy,
    )
