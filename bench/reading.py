"""How long it takes to know what a large pipeline means: Wherry in process, real DVC as a program.

    python bench/reading.py [--stages N] [--shape foreach|literal] [--no-dvc] [--json]

One dvc.yaml makes N stages by foreach over a params.yaml of N keys, or has them all written out; dvc.lock records them.
Wherry reads, resolves, builds the graph, and finds from known hashes that no stage has changed; `dvc status` is asked
the same. Nothing runs. Of Wherry's steps it is the processor's time, the least of some rounds; of DVC the time of the
clock, once, when its caches are warm. --no-dvc leaves DVC out, which for 10,000 stages takes many minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from wherry.service.bootstrap.collector import set_up_collector
from wherry.service.domain.blob import Digest, digest_content
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
_LITERAL = """\
  work-k{number:05}:
    cmd: echo {number} > out/k{number:05}
    deps: [seed]
    params: ["items.k{number:05}"]
    outs: ["out/k{number:05}"]
"""
_SEED = b"seed\n"
_SEED_DIGEST = digest_content(_SEED)

# Stages of the lock that are checked to be as `update_lock` writes them: numbers of one, two and three digits.
_CHECKED = 110

_ROUNDS = 5

T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--shape", choices=["foreach", "literal"], default="foreach")
    parser.add_argument("--no-dvc", action="store_true", help="do not ask DVC")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures = measure(options.stages, _template(options.shape, options.stages), with_dvc=not options.no_dvc)
    if options.json:
        print(json.dumps(figures))
        return
    made = "made by foreach" if options.shape == "foreach" else "written out"
    print(f"a pipeline of {options.stages} stages {made}")
    for name, value in figures.items():
        print(f"  {name:28} {value:8.3f} {'x' if name == 'ratio' else 's'}")


def _template(shape: str, count: int) -> bytes:
    if shape == "foreach":
        return _TEMPLATE
    return ("stages:\n" + "".join(_LITERAL.format(number=number) for number in range(count))).encode()


def measure(count: int, template: bytes, *, with_dvc: bool) -> dict[str, float]:
    """Seconds of each step, of DVC, and how many times as long DVC takes."""
    # As the service does.
    set_up_collector()
    figures: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        taken = []
        for _ in range(_ROUNDS):
            began = time.process_time()
            work()
            taken.append(time.process_time() - began)
        figures[name] = min(taken)
        return work()

    params = "items:\n" + "".join(f"  k{number:05}: {{rate: {number}}}\n" for number in range(count))
    files: dict[ProjectPath, bytes | None] = {_PARAMS: params.encode()}
    written = parse_pipeline_file(template, _YAML, load=files.get)
    known = {out.path: digest_content(_content(out.path)) for stage in written for out in stage.outs}
    lock = _full_lock(written, files, known)

    stages = timed("read dvc.yaml and params", lambda: parse_pipeline_file(template, _YAML, load=files.get))
    recorded = timed("read dvc.lock", lambda: parse_lock(lock, _LOCK))
    timed("graph and order", lambda: topological_order(build_pipeline(stages, [])))

    def compare() -> bool:
        parser = ParamsParser()
        return all(is_unchanged(recorded[stage.key], _now(stage, files, parser, known)) for stage in stages)

    assert timed("compare with dvc.lock", compare)
    figures["wherry, in all"] = sum(figures.values())
    if not with_dvc:
        return figures
    figures["dvc status"] = _dvc_status(lock, {**files, _YAML: template}, stages)
    figures["ratio"] = figures["dvc status"] / figures["wherry, in all"]
    return figures


def _now(
    stage: Stage, files: dict[ProjectPath, bytes | None], parser: ParamsParser, known: Mapping[str, Digest]
) -> StageEntry:
    outs = tuple(_entry(out.path, known[out.path]) for out in stage.outs)
    values = read_params(stage, files, parser)
    return StageEntry(cmd=stage.cmd, deps=(_entry("seed", _SEED_DIGEST),), params=values, outs=outs)


def _content(path: str) -> bytes:
    return f"{int(path[-5:])}\n".encode()


def _entry(path: str, digest: Digest) -> FileEntry:
    return FileEntry(path=path, hash=digest.hash, size_bytes=digest.size_bytes)


def _full_lock(
    stages: tuple[Stage, ...], files: dict[ProjectPath, bytes | None], known: Mapping[str, Digest]
) -> bytes:
    """The lock that records all stages: the first as `update_lock` writes it, the others after its model.

    `update_lock` emits as slowly as DVC does, minutes for 10,000 stages. Whether the model holds is checked on a few.
    """
    parser = ParamsParser()

    def written(some: tuple[Stage, ...]) -> bytes:
        return update_lock(None, {stage.key: _now(stage, files, parser, known) for stage in some}, _LOCK)

    def modelled(some: tuple[Stage, ...]) -> bytes:
        return (head + mark + "".join(like(stage) for stage in some)).encode()

    first = stages[0]
    head, mark, model = written(stages[:1]).decode().partition("stages:\n")
    first_digest = known[first.outs[0].path]

    def like(stage: Stage) -> str:
        number, digest = int(stage.key[-5:]), known[stage.outs[0].path]
        return (
            model.replace("k00000", f"k{number:05}")
            .replace("rate: 0\n", f"rate: {number}\n")
            .replace("echo 0 ", f"echo {number} ")
            .replace(_recorded(first_digest), _recorded(digest))
        )

    sample = stages[:_CHECKED]
    assert modelled(sample) == written(sample)
    return modelled(stages)


def _recorded(digest: Digest) -> str:
    return f"      md5: {digest.hash}\n      size: {digest.size_bytes}\n"


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
        for path, content in {**files, _LOCK: lock}.items():
            (root / path).write_bytes(content or b"")
        dvc("status")
        began = time.perf_counter()
        dvc("status")
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
