"""Files of projects stand in packs, and nobody who uses the bucket as a DVC remote notices."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import Project, git, states
from tests.e2e.test_store_care import store_of
from wherry.service.domain.blob import hash_content, object_key

PIPELINE = """stages:
  copy: {cmd: cp source.txt copied && mkdir -p all && cp src/* all, deps: [source.txt, src], outs: [copied, all]}
  use: {cmd: cat tracked.txt copied > out, deps: [copied, tracked.txt], outs: [out]}
"""


def test_sources_cost_one_object_and_outputs_equal_to_them_are_pulled_by_dvc(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    sources = {f"src/{number}.py": f"packed = {number}\n" for number in range(20)}
    project = make_project(
        {"dvc.yaml": PIPELINE, "source.txt": "a packed source\n", "tracked.txt": "soon tracked\n", **sources}
    )
    project.write(
        {"dvc.yaml": "stages:\n  one: {cmd: cp source.txt x, deps: [source.txt, tracked.txt], outs: [x]}\n"}
    )
    store = store_of(project)

    async def objects() -> set[str]:
        return set(await store.list_keys("files/md5/"))

    before = asyncio.run(objects())
    project.wherry("status").expect(0)
    added = asyncio.run(objects()) - before
    contents = [*sources.values(), "a packed source\n", "soon tracked\n"]
    own = {object_key(hash_content(content.encode())) for content in contents}
    assert not own & added, "sources have no objects of their own"

    # What was a source is data now, and the stages make what other sources are.
    git(project.root, "rm", "-q", "--cached", "tracked.txt")
    project.dvc("add", "-q", "tracked.txt").expect(0)
    project.write({"dvc.yaml": PIPELINE})
    run = project.repro()
    assert states(run) == {"copy": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    assert own <= asyncio.run(objects())
    project.wherry("dvc-remote", "--write").expect(0)
    for path in ("copied", "all", "out", "tracked.txt", ".dvc/cache"):
        found = project.root / path
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)
    project.dvc("pull", "-q").expect(0)
    assert (project.root / "out").read_text() == "soon tracked\na packed source\n"
    assert sorted(path.name for path in (project.root / "all").iterdir()) == sorted(
        Path(path).name for path in sources
    )
    asyncio.run(store.close())


def test_packs_are_read_counted_and_put_together_and_those_that_are_lost_are_asked_for_again(
    make_project: Callable[[dict[str, str]], Project],
) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n  one: {cmd: cp a b, deps: [a], outs: [b]}\n",
            "a": "in a pack\n",
            "s.py": "s = 1\n",
        }
    )
    store = store_of(project)
    for number in range(9):
        project.write({"s.py": f"s = 'anew, {number}'\n"})
        project.wherry("status").expect(0)
    many = project.wherry("cache", "stats", "--json").expect(0).json()
    # Nothing is to be deleted, and short packs become one.
    project.wherry("cache", "gc", "-y").expect(0)
    few = project.wherry("cache", "stats", "--json").expect(0).json()
    assert few["packs"] < many["packs"] - 6
    assert few["packed_blobs"] == many["packed_blobs"] >= 10
    assert "of sources: " in project.wherry("cache", "stats").expect(0).out
    shutil.rmtree(project.service.home / "node" / "files")
    assert states(project.repro()) == {"one": ("succeeded", "miss")}

    async def lose_all() -> None:
        for key in await store.list_keys("wherry/packs/"):
            await store.delete(key)
        await store.close()

    asyncio.run(lose_all())
    shutil.rmtree(project.service.home / "node" / "files")
    project.write({"a": "changed\n"})
    assert states(project.repro()) == {"one": ("succeeded", "miss")}
