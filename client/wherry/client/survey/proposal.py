"""The settings file that `wherry init` writes: each setting with where it comes from."""

import json
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from wherry.client.survey.survey import FoundVariable, Survey

_WORKSPACE = "/workspace"
_CONDA_IMAGE = "condaforge/miniforge3"
# Older ones are not built as images any more.
_OLDEST_MINOR = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What the service has to say about settings."""

    readable: Collection[str]
    """The stage settings that it reads; others would be refused."""
    default_image: str = ""
    prefix: str = "."
    """Where in its repository the project lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What would be written."""

    text: str
    image: str | None
    """None: the service's own default."""
    requirements: str | None
    env: dict[str, str]
    secrets: tuple[str, ...]
    """Names that look like secrets; they are only mentioned when the service has no secrets."""


def propose(survey: Survey, basis: Basis, *, image: str = "") -> Proposal:
    """Make the file; `image` over what the project seems to need."""
    chosen, why = _image(survey, basis, image)
    env = {"PYTHONPATH": ":".join(_inside(basis, place) for place in survey.places)} if survey.places else {}
    secrets = tuple(variable.name for variable in survey.variables if variable.secret)
    lines = [
        "# How the stages of this project are run by Wherry. Belongs into git.",
        "# A stage says otherwise for itself in dvc.yaml, under `meta: {wherry: {…}}`.",
        "",
        "[defaults]",
        *_image_lines(chosen, why),
        *_requirements_lines(survey, basis),
        *_gpu_lines(survey, basis),
        *_secrets_lines(survey, basis),
        *_env_lines(survey, env),
    ]
    return Proposal(
        text="\n".join(lines) + "\n",
        image=chosen,
        requirements=survey.requirements.file
        if _is_installed(survey, basis) and survey.requirements
        else None,
        env=env,
        secrets=secrets,
    )


def _image(survey: Survey, basis: Basis, given: str) -> tuple[str | None, str]:
    if given:
        return given, "As it was given to `wherry init`."
    if survey.python is None and basis.default_image:
        return None, f"The service has one for all that say nothing: {basis.default_image}."
    if survey.requirements is not None and survey.requirements.file.startswith("environment."):
        return _CONDA_IMAGE, f"It has conda, which {survey.requirements.file} needs."
    if survey.python is not None:
        version, why = survey.python.version, f"Python as {survey.python.source} asks for it."
        if int(version.split(".")[1]) < _OLDEST_MINOR:
            why += " It is old: is there an image with it?"
    else:
        version = f"3.{sys.version_info.minor}"
        why = "Nothing in the project says which Python it needs: this is the one that runs `wherry`."
    return f"python:{version}-slim", why


def _image_lines(image: str | None, why: str) -> list[str]:
    comment = f"# What stages run in. {why}"
    return [comment, f"image = {_quoted(image)}" if image else '# image = "python:3.11-slim"']


def _requirements_lines(survey: Survey, basis: Basis) -> list[str]:
    if survey.requirements is None:
        return []
    file = survey.requirements.file
    if _is_installed(survey, basis):
        said = "# What is installed on the image, once for each change of the file."
        return [said, f"requirements = {_quoted(file)}"]
    return [f"# The image has to bring what {file} lists: this service does not install it."]


def _is_installed(survey: Survey, basis: Basis) -> bool:
    return (
        survey.requirements is not None
        and survey.requirements.installable
        and "requirements" in basis.readable
    )


def _gpu_lines(survey: Survey, basis: Basis) -> list[str]:
    if not survey.gpu:
        return []
    said = f"# {', '.join(survey.gpu)} can use a GPU; the image must bring a build for it."
    return [said, '# gpus = "all"'] if "gpus" in basis.readable else [said + " This service gives none."]


def _secrets_lines(survey: Survey, basis: Basis) -> list[str]:
    secrets = [variable for variable in survey.variables if variable.secret]
    if not secrets:
        return []
    lines = [
        f"# Secrets, it seems: {'; '.join(_read_by(secret) for secret in secrets)}. Never write a value here."
    ]
    if "secrets" in basis.readable:
        names = ", ".join(_quoted(secret.name) for secret in secrets)
        return [
            *lines,
            f"# Give each to the service first, `wherry secret set {secrets[0].name}`, then take the sign away:",
            f"# secrets = [{names}]",
        ]
    return [*lines, "# This service has no secrets yet: stages that need them fail, or go on without."]


def _env_lines(survey: Survey, env: dict[str, str]) -> Iterator[str]:
    plain = [variable for variable in survey.variables if not variable.secret]
    if not env and not plain:
        return
    yield ""
    yield "[defaults.env]"
    if env:
        for place, (path, module) in survey.places.items():
            where = "at the top of the project" if place == "." else f"in {place}"
            yield f"# {path} imports {module}, which lies {where}."
        yield f"PYTHONPATH = {_quoted(env['PYTHONPATH'])}"
    for variable in plain:
        yield f"# {_read_by(variable)}."
        yield f"# {variable.name} = {_quoted(variable.default or '')}"


def _read_by(variable: FoundVariable) -> str:
    default = f" (without it {variable.default!r})" if variable.default else ""
    return f"{variable.name} is read by {variable.where}{default}"


def _inside(basis: Basis, place: str) -> str:
    parts = (part for part in (_WORKSPACE, basis.prefix, place) if part not in {"", "."})
    return "/".join(parts)


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, if it is ASCII.
    return json.dumps(text)
