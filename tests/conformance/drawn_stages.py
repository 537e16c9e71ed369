"""Stages of drawn projects. Their commands are small, deterministic, and make what the stage declares."""

import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.drawn_documents import draw_keys, plain_text
from tests.conformance.drawn_names import ODD, Chance

_EXPRESSIONS = ("${t}", "${n}", "${b.c}", "${b[d][0]}", "${ n }", "${l.0}", "\\${HOME}", "${size}-${n}", "$n")
_ITEMS = ("a", "b", 1, 2, "x y", "ünï", "null", "1e3", 2.0, True, None)
_FLAGS = (
    {"cache": False},
    {"push": False},
    {"desc": "text", "type": "model", "labels": ["x"], "meta": {"k": [1]}},
    {"cache": True},
    {"persist": True},
    {"persist": True, "cache": False},
)


@dataclass(slots=True, kw_only=True)
class World:
    """What a stage can read: paths from the root; folders end in "/"."""

    readable: list[str]
    written: set[str] = field(default_factory=set)
    params: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def is_free(self, path: str) -> bool:
        """Whether an output at the path lies neither in, above nor at anything else."""
        taken = (*(one.rstrip("/") for one in (*self.readable, *self.params, *self.folders)), *self.written)
        return all(
            one != path and not one.startswith(path + "/") and not path.startswith(one + "/") for one in taken
        )

    def is_free_for_output(self, path: str) -> bool:
        """As `is_free`, but plain folders may hold it."""
        taken = (*self.written, *(one for one in (*self.readable, *self.params) if not one.endswith("/")))
        inside = all(not path.startswith(one + "/") for one in self.written)
        held = (one.rstrip("/") for one in (*self.readable, *self.folders))
        return (
            inside
            and path not in taken
            and all(one != path and not one.startswith(path + "/") for one in held)
        )


def _word(path: str) -> str:
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _spelled(chance: Chance, path: str) -> str:
    kinds = ("plain",) * 8 + ("dot", "double", "up")
    kind = chance.one(kinds)
    if kind == "dot" and not path.startswith("."):
        return f"./{path}"
    if kind == "double" and "/" in path and not path.startswith(".."):
        return path.replace("/", "//", 1)
    if kind == "up" and "/" in path and not path.startswith("."):
        head = path.split("/", 1)[0]
        return f"{head}/../{path}"
    return path


class StageDrawer:
    """Draws the stages of one dvc.yaml, at `folder`."""

    def __init__(self, chance: Chance, world: World, folder: str, *, templates: bool) -> None:
        """With `templates` there is a params.yaml beside the dvc.yaml."""
        self._chance = chance
        self._world = world
        self._folder = folder
        self._templates = templates
        self._number = 0

    def draw(self) -> dict[str, Any]:
        """Draw one definition: a plain stage, a foreach or a matrix."""
        self._number += 1
        kind = self._chance.one(
            ("plain", "plain", "plain", "foreach", "matrix") if self._templates else ("plain",)
        )
        if kind == "foreach":
            return self._foreach()
        return self._matrix() if kind == "matrix" else self._stage("", [""])

    def _foreach(self) -> dict[str, Any]:
        chance = self._chance
        items = chance.some(_ITEMS, 3, 1)
        if chance.rarely(3):
            keys = {
                str(item): {"v": item, "w": number}
                for number, item in enumerate(items)
                if isinstance(item, str)
            }
            definition = self._stage("-${key}", [f"-{key}" for key in keys])
            return {"foreach": keys, "do": definition}
        texts = [f"-{item}" for item in items if isinstance(item, str | int) and not isinstance(item, bool)]
        return {"foreach": items, "do": self._stage("-${item}", texts)}

    def _matrix(self) -> dict[str, Any]:
        chance = self._chance
        rows, columns = chance.some(_ITEMS[:6], 2, 1), chance.some(_ITEMS[:4], 2, 1)
        suffixes = [f"-{row}{column}" for row in rows for column in columns]
        matrix: dict[str, Any] = {"row": rows, "col": columns}
        if chance.rarely(4):
            matrix["deep"] = [{"k": chance.number(0, 3)}]
        return {"matrix": matrix, **self._stage("-${item.row}${item.col}", suffixes)}

    def _stage(self, suffix: str, suffixes: Sequence[str]) -> dict[str, Any]:
        chance = self._chance
        stage: dict[str, Any] = {}
        wdir = self._folder
        if chance.rarely(4):
            wdir = chance.one(self._world.folders)
            stage["wdir"] = posixpath.relpath(wdir, self._folder)
        deps = chance.some([one for one in self._world.readable if not suffix or one.rstrip("/") != wdir], 3)
        outs = [self._output(wdir, suffix, suffixes) for _ in range(chance.number(0 if deps else 1, 3))]
        commands = [*self._extra(), *(self._command(out, deps, wdir) for out in outs if out is not None)]
        stage["cmd"] = self._shaped(commands or ["true"])
        if deps:
            stage["deps"] = [_spelled(chance, self._relative(dep, wdir)) for dep in deps]
        self._add_outputs(stage, [posixpath.relpath(out, wdir) for out in outs if out is not None], wdir)
        self._add_params(stage, wdir)
        self._add_rest(stage)
        for out in (out for out in outs if out is not None):
            self._register(out, suffix, suffixes)
        names = chance.some(tuple(stage), len(stage), len(stage))
        return {name: stage[name] for name in names}

    def _relative(self, path: str, wdir: str) -> str:
        relative = posixpath.relpath(path.rstrip("/"), wdir)
        return f"{relative}/" if path.endswith("/") and self._chance.rarely(3) else relative

    def _output(self, wdir: str, suffix: str, suffixes: Sequence[str]) -> str | None:
        chance = self._chance
        outside = ("../made",) if chance.rarely(8) else ()
        base = posixpath.join(chance.one((wdir, wdir, self._folder, "o", "o/p", *outside)), chance.name())
        if suffix:
            base = f"{base}{suffix}"
        path = posixpath.normpath(base)
        concrete = [path.replace(suffix, one) if suffix else path for one in suffixes]
        if posixpath.basename(path).endswith((".dvc", "dvc.yaml")) or not all(
            map(self._world.is_free_for_output, concrete)
        ):
            return None
        self._world.written.update(concrete)
        return path

    def _register(self, out: str, suffix: str, suffixes: Sequence[str]) -> None:
        for one in suffixes:
            path = out.replace(suffix, one) if suffix else out
            if self._is_folder(out):
                self._world.readable += [f"{path}/", f"{path}/f1", f"{path}/in dir/", f"{path}/in dir/f2"]
            else:
                self._world.readable.append(path)
        holder = posixpath.dirname(out)
        if holder in {"o", "o/p"} and f"{holder}/" not in self._world.readable and self._chance.rarely(3):
            self._world.readable.append(f"{holder}/")

    @staticmethod
    def _is_folder(out: str) -> bool:
        return len(out) % 3 == 0

    def _command(self, out: str, deps: Sequence[str], wdir: str) -> str:
        chance = self._chance
        reads = [
            f"find {_word(self._relative(dep, wdir))} -type f -name 'f*' | LC_ALL=C sort | tail -n 1"
            if dep.endswith("/")
            else f"cat {_word(posixpath.relpath(dep, wdir))}"
            for dep in deps
        ]
        path = posixpath.relpath(out, wdir)
        written = "; ".join([*reads, f"echo {_word(path)}"])
        if self._is_folder(out):
            inner = f"{path}/in dir"
            return (
                f"mkdir -p {_word(inner)} && {{ {written}; }} > {_word(path + '/f1')}"
                f" && echo 2 > {_word(inner + '/f2')}"
            )
        begin = f"mkdir -p {_word(posixpath.dirname(path))} && " if "/" in path else ""
        end = f" && chmod +x {_word(path)}" if chance.rarely(6) else ""
        return f"{begin}{{ {written}; }} > {_word(path)}{end}"

    def _extra(self) -> list[str]:
        chance = self._chance
        if not self._templates or chance.rarely(2):
            return [f": {shlex.quote(chance.one(ODD))}"] if chance.rarely(3) else []
        if chance.rarely(4):
            return [": ${b}"]
        return [f": '{chance.one(_EXPRESSIONS)}'" for _ in range(chance.number(1, 2))]

    def _shaped(self, commands: list[str]) -> str | list[str]:
        shape = self._chance.one(("joined", "joined", "list", "lines", "ended", "listed lines"))
        if shape == "list":
            return commands
        if shape == "lines":
            return "\n".join(commands)
        if shape == "ended":
            return "\n\n".join(commands) + "\n"
        if shape == "listed lines":
            return ["true", "\n".join(commands)]
        return " && ".join(commands)

    @staticmethod
    def _is_outside(out: str, wdir: str) -> bool:
        return posixpath.normpath(posixpath.join(wdir, out)).startswith("../")

    def _add_outputs(self, stage: dict[str, Any], outs: Sequence[str], wdir: str) -> None:
        chance = self._chance
        for out in outs:
            section = chance.one(("outs", "outs", "outs", "metrics", "plots"))
            written = _spelled(chance, out)
            if self._is_outside(out, wdir) and not chance.rarely(8):
                # DVC's cache keeps nothing from there.
                stage.setdefault(section, []).append({written: {"cache": False}})
            elif chance.rarely(3):
                flags: dict[str, Any] = dict(chance.one(_FLAGS))
                if section == "plots":
                    flags |= {"x": "a", "y": "b", "template": "linear"}
                stage.setdefault(section, []).append({written: flags})
            else:
                stage.setdefault(section, []).append(written)

    def _add_params(self, stage: dict[str, Any], wdir: str) -> None:
        chance = self._chance
        for path in chance.some(self._world.params, 2):
            keys = draw_keys(chance)
            relative = posixpath.relpath(path, wdir)
            section = stage.setdefault("params", [])
            if relative == "params.yaml" and keys is not None and not chance.rarely(4):
                section += keys
            else:
                section.append({relative: keys})

    def _add_rest(self, stage: dict[str, Any]) -> None:
        chance = self._chance
        if chance.rarely(6):
            stage["desc"] = plain_text(chance)
        if chance.rarely(6):
            stage["meta"] = chance.value()
        if chance.rarely(10):
            stage["always_changed"] = True
        if chance.rarely(30):
            stage["frozen"] = chance.rarely(2)
        if self._templates and chance.rarely(6):
            stage["vars"] = [{"own": chance.value()}]
