"""Find what has to be installed for a project, and all the content that this depends on."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wherry.service.domain.dvc.yaml12 import YamlDocument, parse_yaml
from wherry.service.domain.errors import PathEscapes, PipelineInvalid, Place
from wherry.service.domain.images.image import Image, InstallRecipe, installed_image
from wherry.service.domain.images.installation import (
    PYPROJECT,
    Kind,
    conda_step,
    generated_file,
    import_step,
    install_script,
    is_package,
    kind_of,
    listed_dependencies,
    pip_step,
    read_pyproject,
)
from wherry.service.domain.images.locks import Wanted, read_poetry_lock, read_uv_lock
from wherry.service.domain.images.requirements_txt import Mention, Use, find_mentions
from wherry.service.domain.limits import CONTEXT_BYTES_MAX, CONTEXT_FILES_MAX
from wherry.service.domain.paths import ROOT, PathSet, ProjectPath, is_within, resolve_project_path
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.usecases.read_blobs import ReadBlobs

# What tools read to install a project that is then imported from where it is; other sources only have to be there.
_METADATA = frozenset({PYPROJECT, "setup.py", "setup.cfg", "MANIFEST.in"})

# Data in between is nothing that an installer looks at.
_SOURCE_BYTES_MAX = 1024 * 1024


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    files: dict[ProjectPath, SnapshotFile] = field(default_factory=dict)
    present: dict[ProjectPath, SnapshotFile] = field(default_factory=dict)
    generated: dict[str, bytes] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)


class ResolveRequirements:
    """Turns the setting `requirements` into a recipe."""

    def __init__(self, *, read: ReadBlobs, installer: str) -> None:
        """Read files of projects through `read`; `installer` is the name and version of the program that installs."""
        self._read = read
        self._installer = installer

    async def __call__(
        self, snapshot: Snapshot, listed_in: Sequence[ProjectPath], base: Image, place: Place
    ) -> Image:
        """The image with what the files list, installed on a base; `place` is that of the setting.

        Raises:
            PipelineInvalid: if a file is not there, is wrong, or speaks of what is not in the project.
        """
        look = _Look(self._read, snapshot)
        for path in listed_in:
            await look.add(path, place)
        look.check_size(place)
        root_at = snapshot.around.prefix
        found = look.found
        recipe = InstallRecipe(
            base=base,
            script=install_script(found.steps, root_at),
            files=found.files,
            present={path: file for path, file in found.present.items() if path not in found.files},
            generated=found.generated,
            root_at=root_at,
            installer=self._installer,
        )
        return installed_image(recipe, ", ".join(listed_in))


class _Look:
    """Follows the files of one setting through a snapshot."""

    def __init__(self, read: ReadBlobs, snapshot: Snapshot) -> None:
        self._read = read
        self._files = snapshot.files
        self._around = snapshot.around
        self._paths = PathSet(snapshot.files)
        self.found = _Found()

    async def add(self, path: ProjectPath, place: Place) -> None:
        """Take one file of the setting."""
        kind = kind_of(path, place)
        # Of the others counts what is written for pip: a new setting of a linter makes no new image.
        content = await self._content(path, place, counts=kind in {Kind.TXT, Kind.CONDA})
        match kind:
            case Kind.TXT:
                await self._follow(content, path)
                self.found.steps.append(pip_step("-r", path))
            case Kind.CONDA:
                await self._follow_conda(content, path)
                self.found.steps.append(conda_step(path))
            case Kind.PYPROJECT:
                await self._add_pyproject(content, path)
            case Kind.UV_LOCK:
                await self._add_lock(read_uv_lock(content, path), path)
            case Kind.POETRY_LOCK:
                await self._add_lock(read_poetry_lock(content, path), path)

    def check_size(self, place: Place) -> None:
        """Refuse more than a build is given."""
        files = {**self.found.present, **self.found.files}
        check_context(files, place)

    async def _follow(self, content: bytes, path: ProjectPath) -> None:
        """Take what a requirements file speaks of, and what that speaks of."""
        left = [(content, path)]
        while left:
            text, within = left.pop()
            for mention in find_mentions(text, within):
                place = Place(path=within, line=mention.line)
                included = self._take(mention, within, place)
                if included is not None and included not in self.found.files:
                    left.append((await self._content(included, place), included))

    def _take(self, mention: Mention, path: ProjectPath, place: Place) -> ProjectPath | None:
        """Take what one line speaks of; returns a file that has to be followed itself."""
        match mention.use:
            case Use.INCLUDED:
                return self._resolve(_folder(path), mention.written, place)
            case Use.PACKAGE:
                self.found.files |= self._below(self._resolve(ROOT, mention.written, place), place)
            case Use.EDITABLE:
                self._take_editable(self._resolve(ROOT, mention.written, place), place)
            case Use.FOLDER:
                beside = self._resolve(_folder(path), mention.written, place)
                # As pip looks for it: beside the file first, then where it was started.
                there = beside if self._paths.touches(beside) else self._resolve(ROOT, mention.written, place)
                self.found.files |= self._below(there, place)
        return None

    def _take_editable(self, folder: ProjectPath, place: Place) -> None:
        below = self._below(folder, place)
        sources = {path: file for path, file in below.items() if file.size_bytes <= _SOURCE_BYTES_MAX}
        names = {path: path.rpartition("/")[2] for path in sources}
        self.found.files |= {path: file for path, file in sources.items() if names[path] in _METADATA}
        self.found.present |= {path: file for path, file in sources.items() if _is_looked_at(names[path])}

    async def _follow_conda(self, content: bytes, path: ProjectPath) -> None:
        """Below `- pip:` an environment has lines of a requirements file."""
        for place, line in _pip_lines(parse_yaml(content, path)):
            for mention in find_mentions(line.encode(), path):
                included = self._take(mention, path, place)
                if included is not None:
                    await self._follow(await self._content(included, place), included)

    async def _add_pyproject(self, content: bytes, path: ProjectPath) -> None:
        pyproject = read_pyproject(content, path)
        listed = listed_dependencies(pyproject)
        folder = _folder(path)
        if listed is None:
            self._take_editable(folder, Place(path=path))
            self.found.steps.append(pip_step("--editable", f"./{folder}" if folder != ROOT else "."))
            return
        if listed:
            await self._install(Wanted(requirements="".join(f"{item}\n" for item in listed)), path)
        self._import_from(pyproject, folder)

    async def _add_lock(self, wanted: Wanted, path: ProjectPath) -> None:
        await self._install(wanted, path)
        beside = ProjectPath(posixpath.normpath(posixpath.join(_folder(path), PYPROJECT)))
        if beside in self._files:
            content = await self._content(beside, Place(path=path), counts=False)
            self._import_from(read_pyproject(content, beside), _folder(path))

    async def _install(self, wanted: Wanted, path: ProjectPath) -> None:
        """Write what pip reads, and have it installed."""
        await self._follow(wanted.requirements.encode(), path)
        number = len(self.found.generated)
        name = f"requirements-{number}.txt"
        self.found.generated[name] = wanted.requirements.encode()
        arguments = ["-r", generated_file(name)]
        if wanted.constraints:
            self.found.generated[f"constraints-{number}.txt"] = wanted.constraints.encode()
            arguments += ["-c", generated_file(f"constraints-{number}.txt")]
        elif path.endswith(Kind.POETRY_LOCK):
            arguments.insert(0, "--no-deps")
        self.found.steps.append(pip_step(*arguments))

    def _import_from(self, pyproject: Mapping[str, object], folder: ProjectPath) -> None:
        """A project that is a package itself is imported from the workspace, as an editable one would be."""
        if not is_package(pyproject):
            return
        src = ProjectPath(posixpath.normpath(posixpath.join(folder, "src")))
        folders = [src] if next(self._paths.below(src), None) else []
        self.found.steps.append(import_step([*folders, folder], self._around.prefix))

    async def _content(self, path: ProjectPath, place: Place, *, counts: bool = True) -> bytes:
        file = self._files.get(path)
        if file is None:
            raise PipelineInvalid(
                f"{path} is not in the project",
                hint="Paths are from the DVC root. A file that git or .dvcignore ignores is not submitted.",
                place=place,
            )
        if counts:
            self.found.files[path] = file
        return await self._read.read_project_file(path, file)

    def _resolve(self, folder: ProjectPath, written: str, place: Place) -> ProjectPath:
        try:
            return resolve_project_path(folder, written)
        except PathEscapes as exc:
            raise PipelineInvalid(exc.message, place=place) from exc

    def _below(self, path: ProjectPath, place: Place) -> dict[ProjectPath, SnapshotFile]:
        """A file of the project, or all in a folder of it but what is DVC's."""
        if path in self._files:
            return {path: self._files[path]}
        found = {inner: self._files[inner] for inner in self._paths.below(path) if not is_within(inner, _OWN)}
        if not found:
            raise PipelineInvalid(
                f"{path} is not in the project",
                hint="What is installed must be among the submitted files: neither ignored nor an output.",
                place=place,
            )
        return found


_OWN = ProjectPath(".dvc")


def check_context(files: Mapping[ProjectPath, SnapshotFile], place: Place) -> None:
    """Refuse more content than a build is given.

    Raises:
        PipelineInvalid: with what there is too much of.
    """
    total = sum(file.size_bytes for file in files.values())
    if len(files) > CONTEXT_FILES_MAX or total > CONTEXT_BYTES_MAX:
        raise PipelineInvalid(
            f"the image would be made of {len(files)} files with {total} bytes; at most {CONTEXT_FILES_MAX} files "
            f"with {CONTEXT_BYTES_MAX} bytes are taken",
            hint="Leave data out of the folders that are installed; a Dockerfile's context has .dockerignore.",
            place=place,
        )


def _folder(path: ProjectPath) -> ProjectPath:
    return ProjectPath(path.rpartition("/")[0] or ROOT)


def _is_looked_at(name: str) -> bool:
    return name.endswith((".py", ".pyi")) or name.upper().startswith(("README", "LICEN"))


def _pip_lines(document: YamlDocument) -> Iterator[tuple[Place, str]]:
    environment = document.value
    dependencies = environment.get("dependencies") if isinstance(environment, Mapping) else None
    for position, item in enumerate(dependencies if isinstance(dependencies, list) else ()):
        lines = item.get("pip") if isinstance(item, Mapping) else None
        for at, line in enumerate(lines if isinstance(lines, list) else ()):
            yield document.place("dependencies", position, "pip", at), str(line)
