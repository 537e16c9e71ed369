"""Whole projects, drawn at random, and what happens to them after they have run: plausible ones, some of them wrong.

The DVC root lies below another folder, and some stages read what lies beside it, or write there; imports are frozen, as DVC
would go and look for the others. A folder with a dvc.lock in it is no dependency here: its content changes while the
stages run.
"""

import hashlib
import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.conformance.drawn_documents import draw_params, draw_style, write_params, write_yaml
from tests.conformance.drawn_names import ODD, PLAIN, STAGE_ODD, Chance
from tests.conformance.drawn_stages import StageDrawer, World

_PARAMS_FILES = ("conf/p.json", "conf/p.toml", "conf/p.py", "p.txt", "sub/other.yaml", "conf/1e3.yaml")
_LOCKED = (
    "outs:\n    - path: x",
    "outs: []",
    "params: {p.yaml: {a: 0x1F, b: 1e-5, c: [1,  2]}}",
    "deps: [{path: a, size: 1}]",
    "deps: [{path: b, md5: 0123456789abcdef0123456789abcdef}] # DVC 2",
    "outs: [{path: 1e3}]",
)
_ORIGINS = (
    {"path": "../src/it", "hash": "md5", "md5": "0123456789abcdef0123456789abcdef"},
    {"path": "https://x.invalid/it", "etag": '"abc"', "hash": "md5"},
    {"path": "s3://b/it", "etag": "abcdef", "hash": "md5"},
)
_IGNORED = ("*.log", "skip/", "/data/x1", "b", "!b", "conf/*.json", "in dir/", "**/Z", "# no", "ünï*")


@dataclass(frozen=True, slots=True)
class FileChange:
    """What is done to one file or folder between two runs."""

    kind: str
    """write, append, delete, executable, or as DVC 2: what DVC wrote, as it would have."""
    path: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnProject:
    """A project before its first run, and what happens before the second."""

    files: Mapping[str, str]
    added: tuple[str, ...]
    """Given to `dvc add`."""
    changes: tuple[FileChange, ...]
    targets: tuple[str, ...]
    """Of the second run; none: everything."""

    def to_json(self) -> str:
        """Write it, to be drawn no more but read."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "DrawnProject":
        """Read what `to_json` wrote."""
        value = json.loads(text)
        return cls(
            files=value["files"],
            added=tuple(value["added"]),
            changes=tuple(FileChange(**change) for change in value["changes"]),
            targets=tuple(value["targets"]),
        )


_Documents = dict[str, dict[str, Any]]


class _ProjectDrawer:
    def __init__(self, random: Random) -> None:
        self._chance = Chance(random)
        self._files: dict[str, str] = {}
        self._world = World(readable=[], folders=["."])
        self._params: dict[str, dict[str, Any]] = {}
        self._documents: _Documents = {}
        self._styles: dict[str, str] = {}
        self._added: list[str] = []
        self._imported = False

    def draw(self) -> DrawnProject:
        chance = self._chance
        self._world.folders += chance.some(("sub", "sub/deep", "ünï dir", "1e3"), 2)
        self._draw_data()
        if chance.rarely(3):
            self._draw_outside()
        if chance.rarely(3):
            self._draw_import(chance.one(self._world.folders))
        self._draw_params()
        for folder in chance.some(self._world.folders, 3, 1):
            self._draw_pipeline(folder)
        if chance.rarely(4):
            self._draw_mistake()
        if chance.rarely(6):
            self._files[".dvcignore"] = "\n".join(chance.some(_IGNORED, 2, 1)) + "\n"
        self._write_documents()
        first = dict(self._files)
        changes = self._draw_changes()
        targets = self._draw_targets()
        return DrawnProject(
            files=first, added=tuple(self._added), changes=tuple(changes), targets=tuple(targets)
        )

    def _draw_data(self) -> None:
        chance = self._chance
        for folder in self._world.folders:
            self._files[posixpath.normpath(f"{folder}/keep")] = ""
        for number in range(chance.number(1, 4)):
            folder = chance.one((*self._world.folders, "data", "data"))
            path = posixpath.normpath(
                posixpath.join(folder, chance.name() + chance.one(("", ".csv", ".log")))
            )
            if not self._world.is_free(path):
                continue
            if chance.rarely(3):
                inner = [
                    f"{path}/f1",
                    f"{path}/in dir/f2",
                    *([f"{path}/skip/f3"] if chance.rarely(2) else []),
                ]
                self._files |= dict.fromkeys(inner, f"{number}\n")
                self._world.readable += [f"{path}/", *inner[: chance.number(0, 2)]]
            else:
                self._files[path] = chance.one(("1\n", "", "two\n", "ü\r\n", "some\r\ntext\r\n"))
                self._world.readable.append(path)
            if chance.rarely(3) and "'" not in path:
                self._added.append(path)

    def _draw_outside(self) -> None:
        self._files |= {"../up": "up\n", "../beside/f1": "1\r\n", "../beside/in dir/f2": "2\n"}
        self._world.readable += ["../up", "../beside/", "../beside/in dir/f2"]

    def _draw_import(self, folder: str) -> None:
        """A file that `dvc add` puts into the cache, and that its .dvc file then calls an import."""
        chance = self._chance
        path = posixpath.normpath(f"{folder}/imported")
        text = chance.one(("imported\n", "im\r\nported\n"))
        md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        origin = chance.one(_ORIGINS)
        if chance.rarely(3):
            self._files["origin"] = text
            origin = {"path": posixpath.relpath("origin", folder), "hash": "md5", "md5": md5}
        what: dict[str, object] = {
            "deps": [origin],
            "outs": [{"path": "imported", "hash": "md5", "md5": md5}],
        }
        if not chance.rarely(6):
            # DVC's checksum of a .dvc file: of its content without what says how it is treated.
            checked = json.dumps(what, sort_keys=True).encode()
            what["md5"] = hashlib.md5(checked, usedforsecurity=False).hexdigest()
        self._files[path] = text
        self._files[f"{path}.dvc"] = json.dumps({chance.one(("frozen", "locked")): True, **what}, indent=1)
        self._added.append(path)
        self._imported = True
        self._world.readable.append(path)

    def _draw_params(self) -> None:
        chance = self._chance
        paths = [posixpath.normpath(f"{folder}/params.yaml") for folder in self._world.folders]
        chosen = [path for path in paths if not chance.rarely(5)] + chance.some(_PARAMS_FILES, 2)
        for path in chosen:
            self._params[path] = draw_params(chance)
            self._styles[path] = draw_style(chance)
        self._world.params += chosen

    def _draw_pipeline(self, folder: str) -> None:
        chance = self._chance
        path = posixpath.normpath(f"{folder}/dvc.yaml")
        templates = posixpath.normpath(f"{folder}/params.yaml") in self._params
        drawer = StageDrawer(chance, self._world, folder, templates=templates)
        stages = {chance.name(STAGE_ODD): drawer.draw() for _ in range(chance.number(1, 4))}
        order = chance.some(tuple(stages), len(stages), len(stages))
        document: dict[str, Any] = {"stages": {name: stages[name] for name in order}}
        if chance.rarely(4):
            document["vars"] = [{"g": chance.value()}]
        if chance.rarely(8):
            document["artifacts"] = {
                "model": {"path": chance.name(), "type": "model", "desc": "text", "labels": ["x"]}
            }
        if chance.rarely(8):
            document["plots"] = ["p.csv", {"p": {"x": "a", "y": {"p.csv": "b"}, "title": "t"}}]
        if chance.rarely(8):
            document["metrics"] = ["m.json"]
            document["params"] = ["params.yaml"]
        self._documents[path] = document
        self._styles[path] = draw_style(chance)

    def _definitions(self) -> list[dict[str, Any]]:
        stages = [stage for document in self._documents.values() for stage in document["stages"].values()]
        return [stage.get("do", stage) for stage in stages]

    def _draw_mistake(self) -> None:
        chance = self._chance
        stage = chance.one(self._definitions())
        mistakes: tuple[Callable[[], object], ...] = (
            lambda: stage.setdefault("deps", []).append("no/such/file"),
            lambda: stage.setdefault("outs", []).append(chance.one(["o", "data", "same"])),
            lambda: chance.one(self._definitions()).setdefault("outs", []).append("same"),
            lambda: stage.setdefault("deps", []).append(chance.one(sorted(self._world.written) or ["x"])),
            lambda: stage.update(cmd=chance.one(("${nope}", "exit 3", "${n}", "", None, ["true", "exit 4"]))),
            lambda: stage.update(unknown=1),
            lambda: stage.update(deps="x"),
            lambda: stage.update(wdir=chance.one(("nowhere", "${t}"))),
            lambda: stage.setdefault("params", []).append("missing.key"),
            lambda: stage.setdefault("outs", []).append("never-made"),
            lambda: stage.setdefault("outs", []).append({"x": None}),
        )
        chance.one(mistakes)()

    def _write_documents(self) -> None:
        for path, document in self._documents.items():
            self._files[path] = write_yaml(document, self._styles[path])
        for path, values in self._params.items():
            self._files[path] = write_params(values, path, self._styles[path])

    def _draw_changes(self) -> list[FileChange]:
        chance = self._chance
        kinds = (
            self._change_data,
            self._change_data,
            self._change_params,
            self._change_stage,
            self._change_lock,
            self._change_to_dvc_2,
        )
        changes = [change for _ in range(chance.number(1, 3)) for change in chance.one(kinds)()]
        before = dict(self._files)
        self._write_documents()
        written = [
            FileChange("write", path, text) for path, text in self._files.items() if before.get(path) != text
        ]
        # What DVC 2 left is what ran; the other changes come after it.
        changes.sort(key=lambda change: change.kind != "as DVC 2")
        return [*written, *changes]

    def _change_data(self) -> list[FileChange]:
        chance = self._chance
        path = chance.one(self._world.readable or ["keep"])
        kind = chance.one(("append", "append", "delete", "executable"))
        if path.endswith("/"):
            return [
                FileChange("delete", path) if kind == "delete" else FileChange("write", f"{path}new", "n\n")
            ]
        return [FileChange(kind, path, "more\n")]

    def _change_params(self) -> list[FileChange]:
        chance = self._chance
        if not self._params:
            return []
        path = chance.one(sorted(self._params))
        if chance.rarely(8):
            return [FileChange("delete", path)]
        values = self._params[path]
        key = chance.one(("a", "t", "n", "size", "b", "l"))
        if chance.rarely(10):
            values.pop(key)
        else:
            values[key] = draw_params(chance)[key] if key in {"b", "l", "t", "n"} else chance.scalar()
        return []

    def _change_stage(self) -> list[FileChange]:
        chance = self._chance
        stage = chance.one(self._definitions())
        changes: tuple[Callable[[], object], ...] = (
            lambda: stage.update(cmd=_as_other(stage.get("cmd"))),
            lambda: stage.update(cmd=[stage.get("cmd")] if isinstance(stage.get("cmd"), str) else "true"),
            lambda: stage.update(frozen=True),
            lambda: stage.update(always_changed=True),
            lambda: (stage.pop("frozen", None), stage.pop("always_changed", None)),
            lambda: stage.pop("deps", None),
            lambda: stage.pop("params", None),
            lambda: stage.setdefault("deps", []).append(chance.one([*PLAIN, *ODD, "keep"])),
            lambda: stage.setdefault("outs", []).append("added"),
            lambda: stage.pop("metrics", None),
        )
        chance.one(changes)()
        return []

    def _change_lock(self) -> list[FileChange]:
        chance = self._chance
        path = chance.one(sorted(self._documents)).replace(".yaml", ".lock")
        more = f"  gone: # no longer there\n    cmd: 'x'\n    {chance.one(_LOCKED)}\n"
        return [chance.one((FileChange("delete", path), FileChange("append", path, more)))]

    def _change_to_dvc_2(self) -> list[FileChange]:
        # What is ignored in a folder has no part in its hash; an import's checksum would have to follow.
        return [] if ".dvcignore" in self._files or self._imported else [FileChange("as DVC 2", ".")]

    def _draw_targets(self) -> list[str]:
        chance = self._chance
        if chance.rarely(2):
            return []
        path = chance.one(sorted(self._documents))
        name = chance.one(sorted(self._documents[path]["stages"]))
        return [name if path == "dvc.yaml" else f"{path}:{name}"]


def _as_other(cmd: Any) -> Any:
    if isinstance(cmd, list):
        return [*cmd, "true"]
    return f"{cmd} && true" if isinstance(cmd, str) and cmd and not cmd.endswith("\n") else "true"


@st.composite
def projects(draw: st.DrawFn) -> DrawnProject:
    """Projects of a few stages over everything at once; one in four has a mistake."""
    return _ProjectDrawer(draw(st.randoms(use_true_random=True))).draw()
