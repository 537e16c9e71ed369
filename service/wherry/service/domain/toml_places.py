"""Where something stands in a TOML file: the standard library's reader tells no places."""

import re
import tomllib

from wherry.service.domain.errors import Place

_SYNTAX = re.compile(r"\(at line (\d+), column (\d+)\)")


def place_of_key(data: bytes, path: str, key: str, table: str) -> Place:
    """Where a key of a table is written plainly; without line where it is written otherwise."""
    section = ""
    wanted = re.compile(rf"""(\s*)["']?{re.escape(key)}["']?\s*[=.]""")
    for number, line in enumerate(data.decode().splitlines(), 1):
        section = line.strip() if line.lstrip().startswith("[") else section
        found = wanted.match(line)
        if found and section.startswith(f"[{table}]"):
            return Place(path=path, line=number, column=len(found[1]) + 1)
        if section == line.strip() and section.startswith(f"[{table}.{key}"):
            return Place(path=path, line=number, column=1)
    return Place(path=path)


def place_of_mistake(exc: tomllib.TOMLDecodeError, path: str) -> Place:
    """Where a file is no TOML."""
    found = _SYNTAX.search(str(exc))
    return Place(path=path, line=int(found[1]), column=int(found[2])) if found else Place(path=path)
