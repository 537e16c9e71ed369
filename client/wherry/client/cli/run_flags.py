"""The flags of commands that submit runs, and what they say: `wherry repro` and `wherry exp run` share them."""

import os
from dataclasses import dataclass
from typing import Literal

import click

from wherry.client.run import Pulled
from wherry.client.selection import RunOptions, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """The flags as they were given; named as click names them."""

    targets: tuple[str, ...]
    force: bool
    single_item: bool
    pipeline: bool
    all_pipelines: bool
    recursive: bool
    glob: bool
    downstream: bool
    force_downstream: bool
    keep_going: bool
    dry: bool
    no_run_cache: bool
    set_params: tuple[str, ...]
    no_hydra: bool
    name: str
    message: str
    rev: str
    jobs: int | None
    image: str
    cpus: str
    memory: str
    gpus: str
    network: Literal["allow", "deny"] | None
    env: tuple[str, ...]
    secrets: tuple[str, ...]
    priority: int
    labels: tuple[str, ...]
    run_timeout: float | None
    pull: Pulled
    detach: bool
    no_logs: bool
    timeout: float | None
    as_json: bool

    def selection(self, *, composition: Literal["", "always"] = "") -> Selection:
        """Say what of the project is meant; `composition` as in Selection, where --no-hydra leaves a choice."""
        return Selection(
            targets=self.targets,
            glob=self.glob,
            recursive=self.recursive,
            single_item=self.single_item,
            whole_pipelines=self.pipeline,
            all_pipelines=self.all_pipelines,
            downstream=self.downstream,
            force_downstream=self.force_downstream,
            set_params=self.set_params,
            composition="never" if self.no_hydra else composition,
            image=self.image,
            cpus=self.cpus,
            memory=self.memory,
            gpus=self.gpus,
            network=self.network or "",
            env=dict(_variable(given) for given in self.env),
            secrets=self.secrets,
        )

    def options(self) -> RunOptions:
        """Say how it is to be run."""
        return RunOptions(
            name=self.name,
            message=self.message,
            force=self.force,
            no_run_cache=self.no_run_cache,
            keep_going=self.keep_going,
            jobs=self.jobs or 0,
            priority=self.priority,
            labels=dict(_label(given) for given in self.labels),
            run_timeout_s=self.run_timeout,
        )


def _variable(given: str) -> tuple[str, str]:
    """KEY=VAL, or KEY alone: then as it is here."""
    name, equals, value = given.partition("=")
    if equals:
        return name, value
    if name not in os.environ:
        raise click.UsageError(f"-e {name}: there is no such variable here; give a value with -e {name}=…")
    return name, os.environ[name]


def _label(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not key or not equals:
        raise click.UsageError(f"--label {given}: must be KEY=VALUE")
    return key, value


def run_parameters() -> list[click.Parameter]:
    """Make the arguments and options, in the order of the help."""
    return [click.Argument(["targets"], nargs=-1), *_what(), *_how(), *_afterwards()]


def _flag(*names: str, words: str) -> click.Option:
    return click.Option([*names], is_flag=True, help=words)


def _what() -> list[click.Parameter]:
    return [
        _flag("-f", "--force", words="Run every selected stage, whatever is known."),
        _flag("-s", "--single-item", words="Only the targets, not what they depend on."),
        _flag("-p", "--pipeline", words="All that is connected with the targets."),
        _flag("-P", "--all-pipelines", words="All stages of the project."),
        _flag("-R", "--recursive", words="A target may be a folder: all stages below it."),
        _flag("--glob", words="Names of targets are shell patterns."),
        _flag("--downstream", words="The targets and what depends on them."),
        _flag("--force-downstream", words="Run what depends on a stage that was not up to date, too."),
    ]


def _how() -> list[click.Parameter]:
    return [
        _flag("-k", "--keep-going", words="Go on with stages that do not need a failed one."),
        _flag("--dry", words="Only show what would happen."),
        _flag("--no-run-cache", words="Do not look for known results; keep new ones."),
        click.Option(
            ["-S", "--set-param", "set_params"],
            multiple=True,
            metavar="[FILE:]KEY=VAL",
            help="Change a parameter.",
        ),
        _flag("--no-hydra", words="Do not compose params.yaml, though .dvc/config enables it."),
        click.Option(["-n", "--name"], default="", help="Name of the run. Default: one is made up."),
        click.Option(["-m", "--message"], default="", help="A note for people."),
        click.Option(
            ["--rev"],
            default="",
            metavar="REV",
            help="Submit this commit instead of the folder; nothing is written into the project.",
        ),
        click.Option(
            ["-j", "--jobs"],
            type=click.IntRange(min=1),
            default=None,
            help="At most so many stages at once.",
        ),
        click.Option(
            ["--priority"],
            type=click.IntRange(-100, 100),
            default=0,
            metavar="N",
            help="From -100 to 100: where stages wait, those of the larger go first.",
        ),
        click.Option(["--label", "labels"], multiple=True, metavar="KEY=VALUE", help="Sort the run by this."),
        click.Option(
            ["--run-timeout"],
            type=click.FloatRange(min=0, min_open=True),
            default=None,
            metavar="SECONDS",
            help="The service stops the run after so long.",
        ),
        *_settings(),
    ]


def _settings() -> list[click.Parameter]:
    """Settings for every stage of the run, over those of the project."""
    return [
        click.Option(["--image"], default="", help="Container image for every stage."),
        click.Option(
            ["--cpus"], default="", metavar="N", help="Processors for every stage, such as 4 or 0.5."
        ),
        click.Option(
            ["--memory"], default="", metavar="SIZE", help="Memory for every stage, such as 512m or 4g."
        ),
        click.Option(["--gpus"], default="", metavar="N|all", help="GPUs for every stage."),
        click.Option(
            ["--network"],
            type=click.Choice(["allow", "deny"]),
            default=None,
            help="Whether stages have a network.",
        ),
        click.Option(
            ["-e", "--env"],
            multiple=True,
            metavar="KEY[=VAL]",
            help="An environment variable for every stage; without a value, as it is here.",
        ),
        click.Option(
            ["--secret", "secrets"], multiple=True, metavar="NAME", help="A secret for every stage."
        ),
    ]


def _afterwards() -> list[click.Parameter]:
    return [
        click.Option(
            ["--pull"],
            type=click.Choice(["none", "metrics", "all"]),
            default="metrics",
            show_default=True,
            help="Which outputs to bring back: none, metrics and all else that DVC does not cache, or all.",
        ),
        _flag("-d", "--detach", words="Return once the run is accepted; it goes on."),
        _flag("--no-logs", words="Do not show what the stages write."),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0),
            default=None,
            metavar="SECONDS",
            help="Watch no longer (exit 4).",
        ),
        click.Option(
            ["--json", "as_json"], is_flag=True, help="Print the run as JSON (wherry.run/1) at its end."
        ),
    ]
