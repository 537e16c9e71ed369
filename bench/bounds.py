"""What must stay within bounds whatever the size: memory while a huge file moves, and asking for many hashes.

    python -m bench.bounds [--huge-gib N] [--hashes N] [--json]

A file of N GiB (a hole in the source: what it takes is room in the bucket, twice while it is verified) is pushed and
pulled; of client and service the peak of resident memory is read from the kernel (VmHWM), of each direction by itself.
And how long the service takes to say which of N hashes it lacks; bar: 1 s for 100,000. The node's
bound, a folder of 100,000 files laid out in 1 s, is in bench/layout.py.
"""

import argparse
import hashlib
import json
import random
import re
import subprocess
import time
from pathlib import Path

from bench.transfer import IMAGE, WHERRY, Bench, started

from wherry.client.address import find_endpoint
from wherry.client.connection import Connection
from wherry.client.uploading import Source, find_missing

_GIB = 1024**3
_POLL_S = 0.02
_BLOCK_BYTES = 1024 * 1024
_MEMORY_MAX_MB = 200
_FIND_MAX_S = 1.0
_HELD = 1_000
_PIPELINE = (
    "stages: {wait: {cmd: sleep 600 && touch gate, outs: [gate]}, use: {cmd: 'true', deps: [gate, data]}}\n"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--huge-gib", type=int, default=4)
    parser.add_argument("--hashes", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with started() as bench:
        if options.hashes:
            figures |= _asked(bench, options.hashes)
        if options.huge_gib:
            figures |= _huge(bench, options.huge_gib)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        is_memory = name.endswith("MB")
        bar = _MEMORY_MAX_MB if is_memory else _FIND_MAX_S if name.startswith("find") else None
        judged = "" if bar is None else f"   under {bar}: {'met' if value < bar else 'NOT MET'}"
        print(f"  {name:44} {value:9.2f}{judged}")


def _asked(bench: Bench, count: int) -> dict[str, float]:
    """Ask for hashes, some of sources that are held: a project of tiny files is pushed first."""
    held = [f"{number}\n".encode() for number in range(_HELD)]
    folder = bench.folder / "held"
    _make_project(bench, folder)
    data = folder / "data"
    data.mkdir()
    for number, content in enumerate(held):
        (data / f"{number:06}").write_bytes(content)
    bench.run(WHERRY, "repro", "--detach", "--force", cwd=folder)
    names = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in held]
    names += [random.randbytes(16).hex() for _ in range(count - len(names))]
    random.shuffle(names)
    sources = [Source(hash=name, size=10, label=name) for name in names]
    connection = Connection(lambda: find_endpoint(None, bench.environment), user="bench")
    figures: dict[str, float] = {}
    try:
        find_missing(connection, sources[:1])
        # For outputs packs do not count.
        for kind, are_sources, expected in (("sources", True, count - len(held)), ("outputs", False, count)):
            began = time.perf_counter()
            missing = find_missing(connection, sources, sources=are_sources)
            figures[f"find missing of {count:,} {kind}, s"] = time.perf_counter() - began
            if len(missing) != expected:
                raise SystemExit(f"{len(missing)} of {count} {kind} are missing, not {expected}")
    finally:
        connection.close()
    return figures


def _huge(bench: Bench, gib: int) -> dict[str, float]:
    """Push and pull one file whose content is a hole with something at its beginning and end."""
    folder = bench.folder / "huge"
    _make_project(bench, folder)
    data = folder / "data"
    with data.open("wb") as stream:
        stream.write(random.randbytes(_BLOCK_BYTES))
        stream.truncate(gib * _GIB - _BLOCK_BYTES)
        stream.seek(0, 2)
        stream.write(random.randbytes(_BLOCK_BYTES))
    md5 = _md5(data)
    (folder / "data.dvc").write_text(
        f"outs:\n- md5: {md5}\n  size: {gib * _GIB}\n  hash: md5\n  path: data\n"
    )
    (folder / ".gitignore").write_text("/data\n")
    figures: dict[str, float] = {}
    pushed = _watched(bench, folder, "repro", "--detach")
    bench.forget_node()
    data.unlink()
    pulled = _watched(bench, folder, "pull", "data")
    if _md5(data) != md5:
        raise SystemExit("what came back is something else")
    for verb, (took, client, service) in (("push", pushed), ("pull", pulled)):
        figures |= {
            f"{verb} of {gib} GiB, s": took,
            f"{verb} of {gib} GiB, peak of the client, MB": client,
            f"{verb} of {gib} GiB, peak of the service, MB": service,
        }
    return figures


def _make_project(bench: Bench, folder: Path) -> None:
    folder.mkdir()
    bench.run("git", "init", "-q", cwd=folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("")
    (folder / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n")
    (folder / ".dvc" / "wherry.toml").write_text(f'[defaults]\nimage = "{IMAGE}"\n')
    (folder / "dvc.yaml").write_text(_PIPELINE)


def _watched(bench: Bench, folder: Path, *command: str) -> tuple[float, float, float]:
    """Seconds of a command, and peaks in MB: of itself, and meanwhile of the service."""
    service: int = json.loads((bench.home / "service.json").read_text())["pid"]
    Path(f"/proc/{service}/clear_refs").write_text("5")  # the peak counts from here (proc(5))
    began = time.perf_counter()
    with subprocess.Popen(
        [WHERRY, *command],
        cwd=folder,
        env=bench.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        client = 0.0
        while process.poll() is None:
            client = max(client, _peak_mb(process.pid))
            time.sleep(_POLL_S)
        said = process.stderr.read() if process.stderr is not None else ""
    if process.returncode != 0:
        raise SystemExit(f"`wherry {' '.join(command)}` ended with {process.returncode}:\n{said}")
    return time.perf_counter() - began, client, _peak_mb(service)


def _peak_mb(pid: int) -> float:
    """The peak of resident memory; of one that has just ended 0."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found is not None else 0.0


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


if __name__ == "__main__":
    main()
