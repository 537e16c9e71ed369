"""The first stage of a run finds a network that was made ahead."""

import time
from collections.abc import Callable

from tests.e2e.harness import Project, Service, run

_DEADLINE_S = 120

FILES = {"dvc.yaml": "stages:\n  one: {cmd: cat /etc/hostname | tee name, outs: [name]}\n"}


def holders(service: Service) -> set[str]:
    """The containers that hold networks for it, as they call themselves."""
    labels = ("--filter", "label=wherry.holds", "--filter", f"label=wherry.path={service.home}")
    return set(run(["docker", "ps", "-q", *labels], cwd=service.home).expect(0).out.split())


def test_the_first_stage_of_a_run_uses_a_network_that_was_there_before(
    make_project: Callable[[dict[str, str]], Project], service: Service
) -> None:
    project = make_project(FILES)

    def was_there() -> bool:
        # A container in the network of another one has that one's name. One that goes with its run may be seen too.
        if not (before := holders(service)):
            return False
        shown = project.repro("--force")
        [name] = project.wherry("logs", shown["id"], "one").expect(0).out.split()[-1:]
        return name in before

    # In a run of one stage none is made but ahead, and that when it is quiet.
    deadline = time.monotonic() + _DEADLINE_S
    while not was_there():
        assert time.monotonic() < deadline
        time.sleep(0.1)
