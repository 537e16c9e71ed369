"""How long it takes to know what a large pipeline means: Wherry in process, real DVC as a program.

    python bench/reading.py [--stages N] [--json]

One dvc.yaml makes N stages by foreach over a params.yaml of N keys; dvc.lock records them all. Wherry reads, resolves,
builds the graph, and finds from known hashes that no stage has changed; `dvc status` is asked the same. Nothing runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from wherry.service.domain.blob import digest_content
from wherry.service.domain.dvc.graph import build_pipeline, topological_order
from wherry.service.domain.dvc.lockfile import is_unchanged, parse_lock, update_lock
from wherry.service.domain.dvc.params import ParamsParser, read_params
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, StageEntry

_DVC = Path(__file__).resolve().parents[1] / ".venv-dvc" / "bin" / "dvc"
_YAML, _LOCK, _PARAMS = ProjectPath("dvc.yaml"), ProjectPath("dvc.lock"), ProjectPath("params.yaml")
_TEMPLATE = b"""\
stages:
  work:
    foreach: ${items}
    do:
      cmd: echo ${item.rate} > out/${key}
      deps: [seed]
      params: ["items.${key}"]
      outs: ["out/${key}"]
"""
_SEED = b"seed\n"

T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures = measure(options.stages)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"a pipeline of {options.stages} stages made by foreach")
    for name, value in figures.items():
        print(f"  {name:28} {value:8.3f} {'x' if name == 'ratio' else 's'}")


def measure(count: int) -> dict[str, float]:
    """Seconds of each step, of DVC, and how many times as long DVC takes."""
    figures: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        done = work()
        figures[name] = time.perf_counter() - began
        return done

    params = "items:\n" + "".join(f"  k{number:05}: {{rate: {number}}}\n" for number in range(count))
    files: dict[ProjectPath, bytes | None] = {_PARAMS: params.encode()}
    lock = _full_lock(parse_pipeline_file(_TEMPLATE, _YAML, load=files.get), files)

    stages = timed("read dvc.yaml and params", lambda: parse_pipeline_file(_TEMPLATE, _YAML, load=files.get))
    recorded = timed("read dvc.lock", lambda: parse_lock(lock, _LOCK))
    timed("graph and order", lambda: topological_order(build_pipeline(stages, [])))
    parser = ParamsParser()
    same = timed(
        "compare with dvc.lock",
        lambda: [is_unchanged(recorded[stage.key], _now(stage, files, parser)) for stage in stages],
    )
    assert all(same)
    figures["wherry, in all"] = sum(figures.values())
    figures["dvc status"] = _dvc_status(lock, files, stages)
    figures["ratio"] = figures["dvc status"] / figures["wherry, in all"]
    return figures


def _now(stage: Stage, files: dict[ProjectPath, bytes | None], parser: ParamsParser) -> StageEntry:
    outs = tuple(_entry(out.path, _content(out.path)) for out in stage.outs)
    values = read_params(stage, files, parser)
    return StageEntry(cmd=stage.cmd, deps=(_entry("seed", _SEED),), params=values, outs=outs)


def _content(path: str) -> bytes:
    return f"{int(path[-5:])}\n".encode()


def _entry(path: str, content: bytes) -> FileEntry:
    return FileEntry(path=path, hash=digest_content(content).hash, size_bytes=len(content))


def _full_lock(stages: tuple[Stage, ...], files: dict[ProjectPath, bytes | None]) -> bytes:
    parser = ParamsParser()
    return update_lock(None, {stage.key: _now(stage, files, parser) for stage in stages}, _LOCK)


def _dvc_status(lock: bytes, files: dict[ProjectPath, bytes | None], stages: tuple[Stage, ...]) -> float:
    """Seconds of the second `dvc status`: the first one hashes what the second one knows."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def dvc(*args: str) -> None:
            done = subprocess.run(
                [_DVC, *args], cwd=root, env=environment, capture_output=True, check=False, text=True
            )
            if done.returncode:
                sys.exit(f"dvc {' '.join(args)} ended with {done.returncode}:\n{done.stderr}")

        dvc("init", "-q", "--no-scm")
        (root / "out").mkdir()
        (root / "seed").write_bytes(_SEED)
        for stage in stages:
            (root / stage.outs[0].path).write_bytes(_content(stage.outs[0].path))
        for path, content in {**files, _YAML: _TEMPLATE, _LOCK: lock}.items():
            (root / path).write_bytes(content or b"")
        dvc("status")
        began = time.perf_counter()
        dvc("status")
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
