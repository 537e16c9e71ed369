"""How fast content moves, beside `dvc push` and `dvc pull`, rclone and s5cmd, against the same S3 server in one run.

    python -m bench.transfer [--files N] [--large-mib N] [--sources N] [--only files|large|sources] [--json]

Three figures. N files of 10 kB that are one folder, and one large file: to the bucket and back, each program from an
empty bucket of its own and into an empty folder; Wherry with nothing of it on the service's node. What a pull does:

    wherry, dvc    two files of each: DVC's cache, and the workspace; wherry takes the MD5 of all that comes
    rclone         one file, its MD5 compared with what the server says it is
    s5cmd          one file, not compared with anything
    same work      s5cmd, then md5sum of what it wrote, on all cores, then `cp` to a second place

What is to be pulled again is not deleted before but put aside: ext4 without a journal passes over inodes that were freed in
the last minutes one by one, which makes a new file up to ten times as dear, and only for who has deleted.

And a project of N source files: its first submission, and what `wherry status` takes when nothing has changed, both beyond starting; how many
objects and bytes that adds to the bucket. rclone and s5cmd copy the same files; they are
measured when they are on PATH.

The S3 server is the one that the service starts. Not here: a network between the parts.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from bench.service import running

_TOP = Path(__file__).resolve().parent.parent
WHERRY = Path(sys.executable).parent / "wherry"
_DVC = _TOP / ".venv-dvc" / "bin" / "dvc"
IMAGE = "wherry/base:bookworm"
_MIB = 1024 * 1024
_FILE_BYTES = 10_000
_RCLONE = ("--transfers", "32", "--checkers", "32", "--no-traverse", "--s3-no-check-bucket")


class Bench:
    """A service of its own, its keys, and programs that talk to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WHERRY_", "AWS_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment = {
            **kept,
            "WHERRY_HOME": str(self.home),
            "WHERRY_USER": "bench",
            "DVC_NO_ANALYTICS": "1",
            "CI": "true",
        }

    def connect(self) -> None:
        """Take the keys of the S3 server that the service has started."""
        self.endpoint: str = json.loads((self.home / "service.json").read_text())["s3_endpoint"]
        keys = json.loads((self.home / "s3" / "s3.json").read_text())["identities"][0]["credentials"][0]
        self.environment |= {
            "AWS_ACCESS_KEY_ID": keys["accessKey"],
            "AWS_SECRET_ACCESS_KEY": keys["secretKey"],
            "AWS_REGION": "us-east-1",
            "S3_ENDPOINT_URL": self.endpoint,
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
            "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
            "RCLONE_CONFIG_BENCH_ENDPOINT": self.endpoint,
        }
        self._s3 = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=keys["accessKey"],
            aws_secret_access_key=keys["secretKey"],
        )

    def bucket(self, name: str) -> str:
        """Make a bucket."""
        self._s3.create_bucket(Bucket=name)
        return name

    def run(self, *command: str | Path, cwd: Path) -> str:
        """Run a program to its end; a failing one ends the benchmark with its output."""
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            line = " ".join(str(part) for part in command)
            raise SystemExit(f"`{line}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def timed(self, *command: str | Path, cwd: Path) -> float:
        """Seconds that a program takes."""
        began = time.perf_counter()
        self.run(*command, cwd=cwd)
        return time.perf_counter() - began

    def stored(self) -> tuple[int, int]:
        """How many objects the service's bucket has, and how many bytes."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket="wherry")
        sizes = [item["Size"] for page in pages for item in page.get("Contents", ())]
        return len(sizes), sum(sizes)

    def forget_node(self) -> None:
        """Take the node's own copies away: what comes now comes from the bucket."""
        self.put_aside(self.home / "node" / "files")

    def put_aside(self, *paths: Path) -> None:
        """Take files and folders away, without freeing an inode: see above."""
        aside = self.folder / "aside"
        aside.mkdir(exist_ok=True)
        for path in paths:
            if path.exists():
                path.rename(Path(tempfile.mkdtemp(dir=aside)) / path.name)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--large-mib", type=int, default=2048)
    parser.add_argument("--sources", type=int, default=5_000)
    parser.add_argument("--only", choices=["files", "large", "sources"], action="append")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    chosen = options.only or ["files", "large", "sources"]
    figures: dict[str, float] = {}
    with started() as bench:
        if "files" in chosen:
            figures |= _moved(bench, "files", lambda data: _many(data, options.files))
        if "large" in chosen:
            figures |= _moved(bench, "large", lambda data: _one(data, options.large_mib))
        if "sources" in chosen:
            figures |= _sources(bench, options.sources)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"  {name:32} {value:9.2f} {_unit(name)}")


def _unit(name: str) -> str:
    if name.endswith(("objects", "MB")):
        return ""
    return "x" if "times" in name else "s"


@contextmanager
def started() -> Iterator[Bench]:
    """A service, ended at the end."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        with running(bench.environment, bench.folder):
            bench.connect()
            yield bench


def _many(data: Path, count: int) -> None:
    data.mkdir()
    for number in range(count):
        (data / f"{number:06d}.bin").write_bytes(random.randbytes(_FILE_BYTES))


def _one(data: Path, mib: int) -> None:
    with data.open("wb") as stream:
        for _ in range(mib):
            stream.write(random.randbytes(_MIB))


def _moved(bench: Bench, name: str, fill: Callable[[Path], None]) -> dict[str, float]:
    source = bench.folder / f"source-{name}"
    fill(source)
    push: dict[str, float] = {}
    pull: dict[str, float] = {}
    same_work = 0.0
    push["wherry"], pull["wherry"] = _by_wherry(bench, name, source)
    push["dvc"], pull["dvc"] = _by_dvc(bench, name, source)
    if shutil.which("rclone"):
        push["rclone"], pull["rclone"] = _by_rclone(bench, name, source)
    if shutil.which("s5cmd"):
        push["s5cmd"], pull["s5cmd"] = _by_s5cmd(bench, name, source)
        same_work = pull["s5cmd"] + _verified_and_copied(bench, bench.folder / f"s5cmd-{name}")
    figures: dict[str, float] = {}
    for verb, seconds in (("push", push), ("pull", pull)):
        figures |= {f"{name} {verb}, {tool}": value for tool, value in seconds.items()}
        others = [value for tool, value in seconds.items() if tool != "wherry"]
        figures[f"{name} {verb}, times fastest"] = min(others) / seconds["wherry"]
        figures[f"{name} {verb}, times dvc"] = seconds["dvc"] / seconds["wherry"]
    if "s5cmd" in pull:
        figures[f"{name} pull, same work"] = same_work
        figures[f"{name} pull, times same work"] = same_work / pull["wherry"]
    return figures


def _project(bench: Bench, folder: Path, source: Path) -> None:
    """A DVC project whose data is tracked and hashed, with a stage that would read it."""
    folder.mkdir()
    bench.run("git", "init", "-q", cwd=folder)
    bench.run(_DVC, "init", "-q", cwd=folder)
    data = folder / "data"
    # Links: what is measured is not the copying on this disk.
    bench.run("cp", "-al", source, data, cwd=folder)
    bench.run(_DVC, "add", "-q", "data", cwd=folder)


def _by_wherry(bench: Bench, name: str, source: Path) -> tuple[float, float]:
    folder = bench.folder / f"wherry-{name}"
    _project(bench, folder, source)
    (folder / ".dvc" / "wherry.toml").write_text(f'[defaults]\nimage = "{IMAGE}"\n')
    # The stage that reads the data never begins, or the node would fetch it while the pull is measured.
    (folder / "dvc.yaml").write_text(
        "stages: {wait: {cmd: sleep 600 && touch gate, outs: [gate]}, use: {cmd: 'true', deps: [gate, data]}}\n"
    )
    bench.run(WHERRY, "status", cwd=folder)
    began = time.perf_counter()
    run = bench.run(WHERRY, "repro", "--detach", cwd=folder).split()
    pushed = time.perf_counter() - began
    number = next(word for word in run if word.isdigit())
    bench.run(WHERRY, "stop", number, cwd=folder)
    subprocess.run([WHERRY, "wait", number], cwd=folder, env=bench.environment, check=False)
    bench.forget_node()
    bench.put_aside(folder / "data", folder / ".dvc" / "cache")
    pulled = bench.timed(WHERRY, "pull", "data", cwd=folder)
    _expect_same(bench, source, folder / "data")
    return pushed, pulled


def _by_dvc(bench: Bench, name: str, source: Path) -> tuple[float, float]:
    folder = bench.folder / f"dvc-{name}"
    _project(bench, folder, source)
    bucket = bench.bucket(f"dvc-{name}")
    bench.run(_DVC, "remote", "add", "-q", "-d", "store", f"s3://{bucket}", cwd=folder)
    bench.run(_DVC, "remote", "modify", "store", "endpointurl", bench.endpoint, cwd=folder)
    pushed = bench.timed(_DVC, "push", "-q", cwd=folder)
    bench.put_aside(folder / "data", folder / ".dvc" / "cache", folder / ".dvc" / "tmp")
    return pushed, bench.timed(_DVC, "pull", "-q", cwd=folder)


def _by_rclone(bench: Bench, name: str, source: Path) -> tuple[float, float]:
    bucket, target = bench.bucket(f"rclone-{name}"), bench.folder / f"rclone-{name}"
    verb = "copy" if source.is_dir() else "copyto"
    remote = f"bench:{bucket}/data"
    pushed = bench.timed("rclone", verb, *_RCLONE, source, remote, cwd=bench.folder)
    return pushed, bench.timed("rclone", verb, *_RCLONE, remote, target, cwd=bench.folder)


def _by_s5cmd(bench: Bench, name: str, source: Path) -> tuple[float, float]:
    bucket, target = bench.bucket(f"s5cmd-{name}"), bench.folder / f"s5cmd-{name}"
    if not source.is_dir():
        pushed = bench.timed("s5cmd", "cp", source, f"s3://{bucket}/data", cwd=bench.folder)
        return pushed, bench.timed("s5cmd", "cp", f"s3://{bucket}/data", target, cwd=bench.folder)
    pushed = bench.timed("s5cmd", "cp", f"{source}/", f"s3://{bucket}/data/", cwd=bench.folder)
    return pushed, bench.timed("s5cmd", "cp", f"s3://{bucket}/data/*", f"{target}/", cwd=bench.folder)


def _verified_and_copied(bench: Bench, pulled: Path) -> float:
    """Seconds for what a pull does besides, with the programs that one has for it."""
    cores = str(os.cpu_count() or 1)
    hashing = f"find {pulled} -type f -print0 | xargs -0 -n 256 -P {cores} md5sum > {pulled}.md5"
    return bench.timed("sh", "-c", hashing, cwd=bench.folder) + bench.timed(
        "cp", "-r", "--reflink=auto", pulled, f"{pulled}-copy", cwd=bench.folder
    )


def _sources(bench: Bench, count: int) -> dict[str, float]:
    folder = bench.folder / "sources"
    folder.mkdir()
    bench.run("git", "init", "-q", cwd=folder)
    bench.run(_DVC, "init", "-q", cwd=folder)
    (folder / ".dvc" / "wherry.toml").write_text(f'[defaults]\nimage = "{IMAGE}"\n')
    (folder / "dvc.yaml").write_text("stages: {use: {cmd: sleep 1, deps: [src/000/0000.py]}}\n")
    for number in range(count):
        file = folder / "src" / f"{number // 100:03d}" / f"{number % 100:04d}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"value = {number}\n" * 50)
    bench.run("git", "add", "-A", cwd=folder)
    bench.run("git", "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "b", cwd=folder)
    time.sleep(2.1)  # younger files could change unseen, and are read again
    start_wall, start_cpu = _least(bench, folder, "version")
    before = bench.stored()
    began = time.perf_counter()
    run = bench.run(WHERRY, "repro", "--detach", cwd=folder).split()
    first = time.perf_counter() - began - start_wall
    begun = next(word for word in run if word.isdigit())
    after = bench.stored()
    bench.run(WHERRY, "wait", begun, cwd=folder)
    wall, cpu = _least(bench, folder, "status")
    file = folder / "src" / "000" / "0001.py"
    file.write_text("changed = True\n")
    unchanged = bench.stored()
    changed = bench.timed(WHERRY, "repro", "--detach", cwd=folder) - start_wall
    return {
        "first sources, wherry": first,
        **_copied_by_others(bench, folder / "src"),
        "first sources, objects": after[0] - before[0],
        "first sources, MB": (after[1] - before[1]) / 1e6,
        "one source changed, wherry": changed,
        "one source changed, objects": bench.stored()[0] - unchanged[0],
        "unchanged sources, wall": wall - start_wall,
        "unchanged sources, client cpu": cpu - start_cpu,
        "start of the client, wall": start_wall,
    }


def _copied_by_others(bench: Bench, folder: Path) -> dict[str, float]:
    """Seconds in which others copy the files to buckets of their own."""
    seconds: dict[str, float] = {}
    if shutil.which("rclone"):
        remote = f"bench:{bench.bucket('rclone-sources')}/src"
        seconds["first sources, rclone"] = bench.timed(
            "rclone", "copy", *_RCLONE, folder, remote, cwd=bench.folder
        )
    if shutil.which("s5cmd"):
        target = f"s3://{bench.bucket('s5cmd-sources')}/src/"
        seconds["first sources, s5cmd"] = bench.timed("s5cmd", "cp", f"{folder}/", target, cwd=bench.folder)
    return seconds


def _least(bench: Bench, folder: Path, *command: str) -> tuple[float, float]:
    """The least wall and CPU seconds of a few runs."""
    walls, cpus = [], []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(bench.timed(WHERRY, *command, cwd=folder))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls), min(cpus)


def _expect_same(bench: Bench, one: Path, other: Path) -> None:
    bench.run("diff", "-r", "-q", one, other, cwd=bench.folder)


if __name__ == "__main__":
    main()
