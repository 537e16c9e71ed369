"""Images that are made of a project: packages that it lists, Dockerfiles; and what is told when something is missing."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.harness import STAGE_IMAGE, Project, Service, new_project, states
from tests.registry import forget_images, running_registry, shell_files
from tests.wheels import BACKEND, wheel

DEFAULTS = f'[defaults]\nimage = "{STAGE_IMAGE}"\nrequirements = "requirements.txt"\n'
SHOW = "import json, greet, probe, probe_seen; json.dump([greet.WORD, probe.VALUE, probe_seen.SEEN], open('out', 'w'))"


@pytest.fixture
def image_service(service: Service) -> Iterator[Service]:
    """The service; what it has made in the test goes with the test."""
    yield service
    client = docker.from_env()
    home = hashlib.sha256(str(service.home).encode()).hexdigest()[:16]
    for image in client.images.list(filters={"label": f"wherry.made-by={home}"}):
        client.images.remove(str(image.id), force=True)
    client.close()


def add_wheel(project: Project, word: str) -> None:
    file, content = wheel("greet", "1.0", {"greet.py": f"WORD = {word!r}\n"}, requires=["numpy"])
    (project.root / "wheels").mkdir(exist_ok=True)
    (project.root / "wheels" / file).write_bytes(content)


def said(project: Project, run: Any) -> str:
    """What was said in a run, Wherry's own lines too."""
    return project.wherry("logs", run["id"]).expect(0).out


def test_listed_packages_are_installed_once_for_everybody(image_service: Service, tmp_path: Path) -> None:
    """A wheel of the project, found through an included file, and the project itself, which stays where it is."""
    word = uuid.uuid4().hex
    files = {
        "dvc.yaml": f'stages:\n  show:\n    cmd: python3 -c "{SHOW}"\n    deps: [src]\n    outs: [out]\n',
        ".dvc/wherry.toml": DEFAULTS,
        "requirements.txt": "-r sub/more.txt\n-e .\n",
        "sub/more.txt": "-f ../wheels\n--no-index\ngreet\n",
        "pyproject.toml": (
            '[project]\nname = "probe"\nversion = "1.0"\n'
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        ),
        "backend.py": BACKEND,
        "src/probe.py": "VALUE = 1\n",
    }
    project = new_project(tmp_path / "project", image_service, files)
    add_wheel(project, word)
    project.commit()

    first = project.repro()
    other = project.clone(tmp_path / "other", user="ben")
    other.write({"src/probe.py": "VALUE = 2\n"})
    second = other.repro()
    other.wherry("pull").expect(0)
    add_wheel(other, "another")

    greeting, value, seen = json.loads((other.root / "out").read_text())
    assert (greeting, value) == (word, 2)
    # Of root's rights over others it had one, CAP_DAC_OVERRIDE, inside its own file system.
    assert seen == {"bounding": f"{2:016x}", "no_new_privileges": "1", "socket": False, "environment": []}
    making = "making the image of requirements.txt on wherry/base:bookworm"
    assert making in said(project, first)
    assert making not in said(other, second)
    [before], [after] = first["stages"], second["stages"]
    assert (after["cache"], after["image"]) == ("miss", before["image"])
    assert before["image"].startswith("wherry/requirements:")
    why = other.wherry("why", "show").expect(0).out
    assert "image requirements.txt on wherry/base:bookworm: " in why


def test_what_is_missing_is_told_with_what_to_do(image_service: Service, tmp_path: Path) -> None:
    absent = f"absent-{uuid.uuid4().hex}"
    project = new_project(
        tmp_path / "project",
        image_service,
        {
            "dvc.yaml": (
                "stages:\n"
                "  install: {cmd: touch a, outs: [a], meta: {wherry: {requirements: requirements.txt}}}\n"
                '  module: {cmd: python3 -c "import pandas_x.core", outs: [b]}\n'
                "  program: {cmd: frobnicate --now, outs: [c]}\n"
            ),
            "requirements.txt": f"--no-index\n{absent}\n",
        },
    )

    ended = project.wherry("repro", "--json", "--keep-going").expect(1).json()

    stages = {stage["name"]: stage for stage in ended["stages"]}
    assert {name: stage["state"] for name, stage in stages.items()} == dict.fromkeys(stages, "failed")
    reasons = {name: stage["reason"] for name, stage in stages.items()}
    assert f"ERROR: No matching distribution found for {absent}" in reasons["install"]
    assert reasons["module"] == "exited with 1: no module named 'pandas_x'"
    assert reasons["program"] == "exited with 127: no program 'frobnicate'"
    text = said(project, ended)
    assert f"ERROR: Could not find a version that satisfies the requirement {absent}" in text
    assert "$ touch a" not in text
    assert 'with requirements = "requirements.txt" under [defaults] of .dvc/wherry.toml' in text


DOCKERFILE = """\
ARG TAG=none
FROM wherry/base:${TAG} AS tools
COPY tools/ /opt/
RUN mv /opt/shout /usr/local/bin/shout && test ! -e /opt/notes

FROM wherry/base:bookworm
ARG WORD
COPY --from=tools /usr/local/bin/shout /usr/local/bin/
RUN chmod 755 /usr/local/bin/shout && echo "$WORD" >/etc/word
"""


def test_a_dockerfile_of_the_project_is_built_once_for_its_content(
    image_service: Service, tmp_path: Path
) -> None:
    word = uuid.uuid4().hex
    build = {"args": {"TAG": "bookworm", "WORD": word}}
    project = new_project(
        tmp_path / "project",
        image_service,
        {
            "dvc.yaml": (
                "stages:\n  shout: {cmd: shout >said, deps: [input], outs: [said], "
                f"meta: {{wherry: {{build: {json.dumps(build)}}}}}}}\n"
            ),
            "Dockerfile": DOCKERFILE,
            ".dockerignore": "tools/notes\n",
            "tools/shout": "#!/bin/sh\ntr a-z A-Z </etc/word\n",
            "tools/notes": "1",
            "input": "1",
        },
    )

    first = project.repro()
    project.wherry("pull").expect(0)
    # Neither is what the Dockerfile copies.
    project.write({"input": "2", "tools/notes": "2"})
    second = project.repro()
    why = project.wherry("why", "shout").expect(0).out
    project.write({"tools/shout": "#!/bin/sh\nexit 3\n"})
    changed = project.wherry("why", "shout").expect(0).out

    assert (project.root / "said").read_text() == f"{word.upper()}\n"
    assert "Successfully built" in said(project, first)
    assert "Successfully built" not in said(project, second)
    assert first["stages"][0]["image"] == second["stages"][0]["image"]
    assert first["stages"][0]["image"].startswith("wherry/build:")
    assert "shout: hit" in why
    assert "image Dockerfile: " in changed


def test_a_moved_tag_is_another_image_and_each_run_keeps_its_digest(
    image_service: Service, tmp_path: Path
) -> None:
    with running_registry() as registry:
        first_digest = registry.put("team/tool:1", {**shell_files(), "word": b"first\n"})
        name = f"{registry.host}/team/tool:1"
        project = new_project(
            tmp_path / "project",
            image_service,
            {
                "dvc.yaml": "stages:\n  ask: {cmd: read word </word; echo $word >out, deps: [input], outs: [out]}\n",
                ".dvc/wherry.toml": f'[defaults]\nimage = "{name}"\n',
                "input": uuid.uuid4().hex,
            },
        )
        first, again = project.repro(), project.repro()
        second_digest = registry.put("team/tool:1", {**shell_files(), "word": b"second\n"})
        why = project.wherry("why", "ask").expect(0).out
        second = project.repro()
        project.wherry("pull").expect(0)
        registry.answers = False
        warned = project.wherry("repro").expect(0).err
        forget_images(registry)

    assert f"pulled {registry.host}/team/tool@{first_digest}" in said(project, first)
    assert states(again) == {"ask": ("succeeded", "hit")}
    assert f"image {name}: {first_digest[7:19]} -> {second_digest[7:19]}" in why
    assert states(second) == {"ask": ("succeeded", "miss")}
    assert second["stages"][0]["image"] == f"{registry.host}/team/tool@{second_digest}"
    assert (project.root / "out").read_text() == "second\n"
    assert "the registry was asked in vain" in warned
    assert "cached" in warned
