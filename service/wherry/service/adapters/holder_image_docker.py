"""The image of containers that do nothing but be there: one program of a few machine instructions, and no other file.

It is made here, so that nothing of a project, of a registry or of the machine is in a container that stages share a
network with.
"""

import io
import struct
import tarfile
from typing import Any

import docker.errors
from docker import APIClient

PROGRAM = "/hold"

_REPOSITORY = "wherry/hold"

# Wait for a signal, for ever: pause() in a loop; on ARM, which has no such call, ppoll() of nothing.
_X86_64 = bytes.fromhex("b822000000 0f05 ebf7")
_AARCH64 = struct.pack(
    "<7I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800928, 0xD4000001, 0x17FFFFFA
)

# As the engine calls its machine, with the number that an executable file has for it.
_MACHINES = {"x86_64": (62, _X86_64), "aarch64": (183, _AARCH64)}

_LOADED_AT = 0x400000
_HEADER_BYTES, _SEGMENT_BYTES = 64, 56


def can_hold(machine: str) -> bool:
    """Whether there is such a program for a machine, as the engine calls it."""
    return machine in _MACHINES


def ensure_image(client: APIClient, machine: str) -> str:
    """Make the image if the engine has it not; returns its name."""
    name = f"{_REPOSITORY}:{machine}"
    untyped: Any = client
    try:
        untyped.inspect_image(name)
    except docker.errors.ImageNotFound:
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as archive:
            program = executable(machine)
            entry = tarfile.TarInfo(PROGRAM.lstrip("/"))
            entry.mode, entry.size = 0o555, len(program)
            archive.addfile(entry, io.BytesIO(program))
        client.import_image_from_data(written.getvalue(), repository=_REPOSITORY, tag=machine)
    return name


def executable(machine: str) -> bytes:
    """The program as a static ELF file: the header, one segment, the instructions (elf(5))."""
    number, code = _MACHINES[machine]
    at = _HEADER_BYTES + _SEGMENT_BYTES
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little endian, version 1
        2,  # executable
        number,
        1,
        _LOADED_AT + at,
        _HEADER_BYTES,
        0,
        0,
        _HEADER_BYTES,
        _SEGMENT_BYTES,
        1,
        0,
        0,
        0,
    )
    size = at + len(code)
    # To be loaded whole, for reading and executing.
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOADED_AT, _LOADED_AT, size, size, 0x10000)
    return header + segment + code
