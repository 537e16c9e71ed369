"""What a stage's command says: the Python files that it starts, and the variables that it reads."""

import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Sequence

_PYTHON = re.compile(r"python[\d.]*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|([A-Za-z_]\w*))")
_SET = re.compile(
    r"(?:^|[\s;&|(])(?:export\s+)?([A-Za-z_]\w*)=|\bfor\s+([A-Za-z_]\w*)\s+in\b|\bread\s+([A-Za-z_]\w*)"
)
# Options of the interpreter that take a word of their own.
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


def started_files(cmd: Sequence[str], wdir: str, files: Collection[str]) -> list[str]:
    """List the project's Python files that a command starts, as paths from the DVC root."""
    found: list[str] = []
    for text in cmd:
        words = _words(text)
        for index, word in enumerate(words):
            if _PYTHON.fullmatch(posixpath.basename(word)):
                found += _after_python(words[index + 1 :], wdir, files)
            elif word.endswith(".py") and _at(wdir, word) in files:
                found.append(_at(wdir, word))
    return list(dict.fromkeys(found))


def variables_read(cmd: Sequence[str]) -> list[str]:
    """List the variables that the shell puts into a command, but those that it sets itself."""
    text = "\n".join(cmd)
    own = {name for groups in _SET.findall(text) for name in groups if name}
    names = (braced or bare for braced, bare in _VARIABLE.findall(text))
    return [name for name in dict.fromkeys(names) if name not in own and not name.isdigit()]


def sets_variable(cmd: Sequence[str], name: str) -> bool:
    """Whether a command sets a variable itself."""
    return any(name in groups for text in cmd for groups in _SET.findall(text))


def _after_python(words: Sequence[str], wdir: str, files: Collection[str]) -> Iterator[str]:
    """What stands behind the name of an interpreter: options, then `-m MODULE` or a file."""
    skip = False
    for index, word in enumerate(words):
        if skip:
            skip = False
        elif word == "-m":
            yield from _module(words[index + 1 : index + 2], wdir, files)
            return
        elif word == "-c":
            return
        elif word in _WITH_VALUE:
            skip = True
        elif not word.startswith("-"):
            if _at(wdir, word) in files:
                yield _at(wdir, word)
            return


def _module(name: Sequence[str], wdir: str, files: Collection[str]) -> Iterator[str]:
    """Yield the file of a module that `python -m` starts: it looks in the working folder."""
    for module in name:
        base = module.replace(".", "/")
        for folder in (wdir, posixpath.join(wdir, "src")):
            for file in (f"{base}.py", f"{base}/__main__.py"):
                if _at(folder, file) in files:
                    yield _at(folder, file)
                    return


def _at(wdir: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(wdir, path))


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # a quotation mark without its other
        return text.split()
