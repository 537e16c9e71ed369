"""The get-started example draws its data instead of carrying it: what is drawn must be what its .dvc file names."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "get-started"


def test_the_drawn_pool_data_is_what_the_dvc_file_names(tmp_path: Path) -> None:
    pool = tmp_path / "pool_data"
    # -I -S: no packages, so that it works on any machine's Python.
    subprocess.run(
        [sys.executable, "-I", "-S", EXAMPLE / "make_pool_data.py", pool],
        check=True,
        stdout=subprocess.DEVNULL,
    )

    files = {
        path.relative_to(pool).as_posix(): path.read_bytes() for path in pool.rglob("*") if path.is_file()
    }
    # DVC's directory object: the members sorted by path, as JSON with default separators.
    members = [{"md5": hashlib.md5(files[path]).hexdigest(), "relpath": path} for path in sorted(files)]
    tracked = yaml.safe_load((EXAMPLE / "data" / "pool_data.dvc").read_text())["outs"]

    assert tracked == [
        {
            "md5": hashlib.md5(json.dumps(members, sort_keys=True).encode()).hexdigest() + ".dir",
            "size": sum(map(len, files.values())),
            "nfiles": len(files),
            "hash": "md5",
            "path": "pool_data",
        }
    ]
