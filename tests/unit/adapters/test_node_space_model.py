"""Whatever happens between two steps of a pass that makes room, what somebody holds is never removed."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wherry.service.adapters.node_space import NodeSpace

BLOCK = 4096
BLOCKS_MAX = 1
NAMES = st.sampled_from([f"files/md5/00/{name}" for name in "abc"] + ["trees/t"])
# What others do while a pass goes through the files, a thing before each of its steps.
MEANWHILE = st.lists(st.tuples(st.sampled_from(["lease", "lease", "end", "use"]), NAMES), max_size=12)


class Steps:
    """A lock that lets others do something before it is taken by a pass."""

    def __init__(self) -> None:
        self.before: Callable[[], None] | None = None

    def __enter__(self) -> None:
        before, self.before = self.before, None
        if before is not None:
            before()
            self.before = before

    def __exit__(self, *_: object) -> None:
        """Nothing is locked: there is one thread."""


class EvictionAndLeases(RuleBasedStateMachine):
    """Leases as the node's cache takes them: hold, look, and fetch what is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="wherry-space-"))
        for folder in ("files/md5/00", "trees", "incoming"):
            (self.root / folder).mkdir(parents=True)
        self.space = NodeSpace(
            self.root, blobs=("files",), trees="trees", bytes_max=BLOCKS_MAX * BLOCK, free_min=0
        )
        self.steps = Steps()
        self.clock = 0
        self.leased: Counter[str] = Counter()
        # Where another thread would be let in between.
        self.space._lock = self.steps  # type: ignore[assignment]

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(name=NAMES)
    def lease(self, name: str) -> None:
        self.space.hold(str(self.root / name))
        self.leased[name] += 1
        self.use(name)

    @precondition(lambda self: any(self.leased.values()))
    @rule(data=st.data())
    def end(self, data: Any) -> None:
        self._end(data.draw(st.sampled_from(sorted(name for name in self.leased if self.leased[name]))))

    @rule(name=NAMES)
    def use(self, name: str) -> None:
        """Look, and fetch; without a lease it may be gone at once."""
        path = self.root / name
        self.clock += 1
        if name.startswith("trees/") and not path.exists():
            path.mkdir()
            # A member with a name in the tree and one of its own, which goes only after the tree.
            member = self.root / "files/md5/00" / f"of-{path.name}"
            if not member.exists():
                member.write_bytes(b"m" * BLOCK)
                self.space.added(BLOCK)
            os.link(member, path / "member")
        elif not path.exists():
            path.write_bytes(name[-1].encode() * BLOCK)
            self.space.added(BLOCK)
        os.utime(path, ns=(self.clock, self.clock))

    @rule(meanwhile=MEANWHILE)
    def make_room(self, meanwhile: list[tuple[str, str]]) -> None:
        pending = iter(meanwhile)

        def others() -> None:
            what, name = next(pending, ("nothing", ""))
            if what == "lease":
                self.lease(name)
            elif what == "use":
                self.use(name)
            elif what == "end":
                self._end(name)

        self.steps.before = others
        self.space._not_before = 0.0  # as if the last pass were long ago
        self.space.make_room()
        self.steps.before = None
        if not any(self.leased.values()) and not meanwhile:
            files = list(self.root.glob("files/md5/00/*"))
            assert len(files) <= BLOCKS_MAX, "there was too much, and nobody held it"

    @invariant()
    def what_is_leased_is_there_and_whole(self) -> None:
        for name in self.leased:
            if not self.leased[name]:
                continue
            path = self.root / name
            if name.startswith("trees/"):
                assert (path / "member").read_bytes() == b"m" * BLOCK, f"{name} was removed under a lease"
            else:
                assert path.read_bytes() == name[-1].encode() * BLOCK, f"{name} was removed under a lease"

    def _end(self, name: str) -> None:
        if self.leased[name]:
            self.leased[name] -= 1
            self.space.release([str(self.root / name)])


TestEvictionAndLeases = EvictionAndLeases.TestCase
TestEvictionAndLeases.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
