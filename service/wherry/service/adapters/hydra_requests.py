"""What is asked of Hydra, inside the process that hydra_worker.py confines."""

import io
import itertools
import posixpath
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime, setup_globals
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.basecontainer import BaseContainer

from wherry.service.domain.dvc.override_grammar import refuse_sweep
from wherry.service.domain.dvc.params_edit import open_params
from wherry.service.domain.dvc.set_param import split_override
from wherry.service.domain.errors import InvalidInput, TooMany
from wherry.service.domain.limits import SWEEP_RUNS_MAX

# All others look at something outside the configuration: the environment, the clock, the machine's Python.
_PURE_RESOLVERS = frozenset(
    {"oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select"}
)


def prepare() -> None:
    """Load what Hydra loads late, and leave only resolvers that compute from the configuration.

    Not before this is user input read.
    """
    Plugins.instance()
    setup_globals()
    for name in set(BaseContainer._resolvers) - _PURE_RESOLVERS:  # noqa: SLF001 - there is no public list
        OmegaConf.register_new_resolver(name, _refusing(name), replace=True)
    version.setbase(None)
    JobRuntime.instance().set("name", "app")


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*_arguments: object) -> NoReturn:
        raise InvalidInput(
            f"the interpolation ${{{name}:…}} reads the machine that it is resolved on; the service does not allow that",
            hint="Write the value itself, or give it with -S.",
        )

    return refuse


def set_params(data: bytes, path: str, overrides: Sequence[str]) -> bytes:
    """Apply overrides to a parameters file.

    Raises:
        InvalidInput: if Hydra refuses one, or it is a sweep.
    """
    file = open_params(data, path)
    parsed = _parse(overrides)
    for override in parsed:
        if override.is_sweep_override():
            raise refuse_sweep(override.input_line or "")
    try:
        config = OmegaConf.create(file.values, flags={"allow_objects": True})
        OmegaConf.set_struct(config, value=True)
        ConfigLoaderImpl._apply_overrides_to_config(parsed, config)  # noqa: SLF001 - as DVC does
        values = OmegaConf.to_object(config)
    except Exception as exc:
        raise refusal(exc, f"{path} cannot be set so") from exc
    assert isinstance(values, dict)
    return file.write(values)


def compose(files: Mapping[str, str], config_name: str, overrides: Sequence[str]) -> bytes:
    """Compose a configuration out of these files alone.

    Raises:
        InvalidInput: if Hydra cannot, or must not.
    """
    SourcesRegistry.instance().types[_SCHEME] = _source_of(files)
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    path.append("main", f"{_SCHEME}://")
    path.append("schema", "structured://")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = _Loader(path).load_configuration(
                config_name, overrides=list(overrides), run_mode=RunMode.RUN, from_shell=False
            )
        with open_dict(config):
            del config["hydra"]
        OmegaConf.resolve(config)
        return OmegaConf.to_yaml(config).encode()
    except Exception as exc:
        # Whatever the libraries raise comes from what they were given.
        raise refusal(exc, "Hydra cannot compose the parameters") from exc


def expand(set_params: Sequence[str]) -> list[list[str]]:
    """Expand sweeps into the cartesian product, in DVC's order: the first varies slowest, over files too.

    Raises:
        InvalidInput: if an override cannot be read, or its values cannot be counted.
        TooMany: if there are too many combinations.
    """
    by_file: dict[str, list[Override]] = {}
    prefixes: dict[str, str] = {}
    for text in set_params:
        file, override = split_override(text)
        prefixes.setdefault(file, text.removesuffix(override))
        by_file.setdefault(file, []).extend(_parse([override]))
    overrides = [override for of_file in by_file.values() for override in of_file]
    if not any(override.is_sweep_override() for override in overrides):
        return [list(set_params)]
    _check_size(overrides)
    products = [
        [[prefixes[file] + _as_given(text, of_file) for text in texts] for texts in _split(of_file)]
        for file, of_file in by_file.items()
    ]
    return [[*itertools.chain(*parts)] for parts in itertools.product(*products)]


def _split(overrides: list[Override]) -> list[list[str]]:
    return BasicSweeper.split_arguments(overrides, None)[0]


def _as_given(text: str, overrides: Sequence[Override]) -> str:
    """Undo that the sweeper gives a deletion the value null, which then deletes nothing but nulls."""
    for override in overrides:
        if (
            override.is_delete()
            and override.value_type is None
            and text == f"{override.get_key_element()}=null"
        ):
            return override.get_key_element()
    return text


def _check_size(overrides: Sequence[Override]) -> None:
    total = 1
    for override in overrides:
        if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
            raise InvalidInput(f"{override.input_line!r}: glob(…) is not supported, as in DVC")
        if not override.is_sweep_override():
            continue
        if not override.is_discrete_sweep():
            raise InvalidInput(
                f"{override.input_line!r} does not say which values to take",
                hint="choice(…) and range(…, …, step) do.",
            )
        total *= sum(1 for _ in itertools.islice(override.sweep_iterator(), SWEEP_RUNS_MAX + 1))
        if total > SWEEP_RUNS_MAX:
            raise TooMany(f"the sweep makes more than {SWEEP_RUNS_MAX} runs")


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        return list(OverridesParser.create().parse_overrides(overrides=list(overrides)))
    except HydraException as exc:
        raise refusal(exc, "an override cannot be read") from exc


def refusal(exc: BaseException, what: str) -> InvalidInput:
    """Make an error for users of one of Hydra's: ours if it stands behind it, else the words of both.

    Raises:
        MemoryError: if that stands behind it.
    """
    told: list[str] = []
    inner: BaseException | None = exc
    while inner is not None:
        if isinstance(inner, InvalidInput):
            return inner
        if isinstance(inner, MemoryError):
            raise inner
        text = " ".join(str(inner).split())
        if text and not any(text in other for other in told):
            told.append(text)
        inner = inner.__cause__ or inner.__context__
    return InvalidInput(f"{what}: {'; '.join(told[:3])[:1000] or type(exc).__name__}")


class _Loader(ConfigLoaderImpl):
    """Hydra's loader without search paths: those name folders of the machine, and packages to import."""

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        loaded = repo.load_config(config_path=config_name or "")
        primary = loaded.config if loaded is not None else OmegaConf.create()
        named = OmegaConf.is_dict(primary) and OmegaConf.select(primary, "hydra.searchpath") is not None
        if named or any(override.key_or_group == "hydra.searchpath" for override in parsed_overrides):
            raise InvalidInput(
                "hydra.searchpath leads out of the project; the service composes only from its own files",
                hint="Move the configurations below hydra.config_dir.",
            )


_SCHEME = "submitted"


def _source_of(files: Mapping[str, str]) -> type[ConfigSource]:
    folders = {folder for path in files for folder in _folders_above(path)}

    class SubmittedSource(ConfigSource):
        """Configurations as they were submitted: there is no file system behind it."""

        @staticmethod
        def scheme() -> str:
            return _SCHEME

        def load_config(self, config_path: str) -> ConfigResult:
            path = _normal(self._normalize_file_name(config_path))
            if path not in files:
                raise ConfigLoadError(f"Config not found: {path}")
            return ConfigResult(
                config=OmegaConf.load(io.StringIO(files[path])),
                path=f"{_SCHEME}://",
                provider=self.provider,
                header=self._get_header_dict(files[path][:512]),
            )

        def available(self) -> bool:
            return bool(files)

        def is_group(self, config_path: str) -> bool:
            return _normal(config_path) in folders

        def is_config(self, config_path: str) -> bool:
            return _normal(self._normalize_file_name(config_path)) in files

        def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
            found: list[str] = []
            below = _normal(config_path)
            for path in sorted({*files, *folders}):
                if path and posixpath.dirname(path) == below:
                    self._list_add_result(found, path, posixpath.basename(path), results_filter)
            return sorted(set(found))

    return SubmittedSource


def _normal(path: str) -> str:
    normal = posixpath.normpath(path.lstrip("/"))
    return "" if normal == "." else normal


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts))]
