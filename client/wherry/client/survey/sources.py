"""What one Python file says, read with `ast` and never run: imports, variables it reads, paths it names."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

_READING_CALLS = frozenset({"getenv", "getenvb"})
_READING_METHODS = frozenset({"get", "pop", "setdefault"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """An import of a module, or of names from one."""

    module: str
    """Dotted; empty for `from . import x`."""
    names: tuple[str, ...] = ()
    level: int = 0
    """Dots in front: 0 is absolute."""
    line: int

    @property
    def top(self) -> str:
        """The first part of the name."""
        return self.module.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableUse:
    """An environment variable that is read."""

    name: str
    line: int
    default: str | None = None
    """What is used without it, where that is written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonSource:
    """What a file says."""

    path: str
    """Relative to the DVC root."""
    imports: tuple[Import, ...] = ()
    variables: tuple[VariableUse, ...] = ()
    named: tuple[tuple[str, int], ...] = field(default=())
    """Strings that calls are given, with their lines: some are paths."""
    is_program: bool = False
    """Whether it asks if it is the program."""


def read_source(path: str, content: bytes) -> PythonSource | None:
    """Read a file; None when it is not Python 3."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    imports: list[Import] = []
    variables: list[VariableUse] = []
    named: list[tuple[str, int]] = []
    is_program = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [Import(module=alias.name, line=node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            imports.append(Import(module=node.module or "", names=names, level=node.level, line=node.lineno))
        elif isinstance(node, ast.Subscript):
            variables += _subscripted(node)
        elif isinstance(node, ast.Call):
            variables += _called(node)
            named += _texts_given(node)
        elif isinstance(node, ast.Compare):
            is_program = is_program or _asks_for_main(node)
    return PythonSource(
        path=path,
        imports=tuple(imports),
        variables=tuple(variables),
        named=tuple(named),
        is_program=is_program,
    )


def _subscripted(node: ast.Subscript) -> Iterator[VariableUse]:
    """Yield the name of `os.environ["NAME"]`, where it is read and not set."""
    name = _text(node.slice)
    if name and isinstance(node.ctx, ast.Load) and _is_environ(node.value):
        yield VariableUse(name=name, line=node.lineno)


def _called(node: ast.Call) -> Iterator[VariableUse]:
    """Yield the name of `os.getenv("NAME")`, `os.environ.get("NAME", …)`."""
    function = node.func
    if isinstance(function, ast.Attribute):
        is_reading = function.attr in _READING_CALLS or (
            function.attr in _READING_METHODS and _is_environ(function.value)
        )
    else:
        is_reading = isinstance(function, ast.Name) and function.id in _READING_CALLS
    name = _text(node.args[0]) if is_reading and node.args else None
    if name:
        default = _text(node.args[1]) if len(node.args) > 1 else None
        yield VariableUse(name=name, line=node.lineno, default=default)


def _texts_given(node: ast.Call) -> Iterator[tuple[str, int]]:
    for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
        text = _text(argument)
        if text and "\n" not in text:
            yield text, node.lineno


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def _asks_for_main(node: ast.Compare) -> bool:
    return isinstance(node.left, ast.Name) and node.left.id == "__name__"


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
