"""What `wherry repro` and `wherry show` say of files that stages read without declaring them."""

from collections.abc import Sequence

from tests.integration.client.conftest import Run
from tests.integration.client.fake_service import FakeService, md5_of
from wherry.v1 import runs_pb2


def _script(
    service: FakeService, stages: Sequence[tuple[str, "runs_pb2.CacheUse.ValueType", list[str]]]
) -> None:
    run = service.script.run
    run.state = runs_pb2.STATE_SUCCEEDED
    for name, cache, deps in stages:
        stage = run.stages.add(name=name, state=runs_pb2.STATE_SUCCEEDED, cache=cache, undeclared_deps=deps)
        for path in deps:
            stage.undeclared.add(path=path, hash=md5_of(path.encode()), size_bytes=1)


def test_a_stage_that_ran_is_warned_of_with_the_yaml_to_add(wherry: Run, service: FakeService) -> None:
    odd = ["helper.py", "- dash", 'a "b": c', "../up/x.py", *(f"n{number}" for number in range(8))]
    _script(service, [("train", runs_pb2.CACHE_USE_MISS, odd), ("test", runs_pb2.CACHE_USE_MISS, ["one.py"])])
    done = wherry("repro")
    assert done.code == 0
    assert (
        '    deps:\n    - helper.py\n    - "- dash"\n    - "a \\"b\\": c"\n    - ../up/x.py\n'
    ) in done.err
    assert "    - n5\n    # … and 2 more\n" in done.err
    assert "warning: test read a file of the project without declaring it." in done.err


def test_known_results_are_not_warned_of_but_shown(wherry: Run, service: FakeService) -> None:
    _script(service, [("train", runs_pb2.CACHE_USE_HIT, ["helper.py"])])
    done = wherry("repro", "--json")
    assert "declaring" not in done.err
    assert done.json()["stages"][0]["undeclared"] == [{"path": "helper.py", "md5": md5_of(b"helper.py")}]
    assert "train reads without declaring:\n    deps:\n    - helper.py\n" in wherry("show", "42").out


def test_stages_that_read_the_same_are_named_together(wherry: Run, service: FakeService) -> None:
    _script(service, [(f"s@{number}", runs_pb2.CACHE_USE_MISS, ["h.py", "i.py"]) for number in range(6)])
    done = wherry("repro")
    assert (
        "warning: s@0, s@1, s@2, s@3 and 2 more read 2 files of the project without declaring them. "
        "Wherry runs them again when one changes, `dvc repro` does not. "
        "To declare, add to the stages in dvc.yaml:\n    deps:\n    - h.py\n    - i.py\n"
    ) in done.err
    shown = wherry("show", "42").out
    assert (
        "s@0, s@1, s@2, s@3 and 2 more read without declaring:\n    deps:\n    - h.py\n    - i.py\n" in shown
    )
    assert shown.count("without declaring") == 1


def test_of_many_stages_a_few_are_told_and_the_rest_counted(wherry: Run, service: FakeService) -> None:
    _script(service, [(f"s@{number}", runs_pb2.CACHE_USE_MISS, [f"h{number}.py"]) for number in range(9)])
    done = wherry("repro")
    assert done.err.count("without declaring") == 3
    assert "so did 6 more stages" in done.err
