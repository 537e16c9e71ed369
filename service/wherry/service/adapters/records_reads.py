"""What stages read without declaring it, as JSON text for a column."""

import json

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.reads import ReadFile, Reads


def dump_reads(reads: Reads) -> str:
    """Write what a result read. There may be thousands of files: each is a short list."""
    files = [[file.path, file.hash, file.size_bytes, file.executable] for file in reads.files]
    return json.dumps({"files": files, "all_files": reads.all_files}, separators=(",", ":"))


def load_reads(text: str) -> Reads:
    """Read what dump_reads wrote."""
    plain = json.loads(text)
    files = tuple(
        ReadFile(path=ProjectPath(path), hash=BlobHash(content), size_bytes=size, executable=executable)
        for path, content, size, executable in plain["files"]
    )
    return Reads(files=files, all_files=plain["all_files"])
