"""One read for all who ask for the same at nearly the same time: a thousand who watch a run are woken by the same news."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar, cast

_Answer = TypeVar("_Answer")

# Whoever is woken asks at once. An answer that is kept for longer would only take memory.
_LIFE_S = 0.5


class SharedReads(Generic[_Answer]):
    """Answers by subject and question. Whoever changes the subject says so, and what was read before is not given out again."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._reads: dict[Hashable, dict[Hashable, asyncio.Task[_Answer]]] = {}

    async def __call__(
        self, subject: Hashable, question: Hashable, read: Callable[[], Coroutine[Any, Any, _Answer]]
    ) -> _Answer:
        """The answer to a read that began after the subject was last changed. It is everybody's: not to be altered.

        Raises:
            Exception: what the read raises, to all who wait for it.
        """
        reads = self._reads.setdefault(subject, {})
        task = reads.get(question)
        if task is None or (task.done() and task.exception() is not None):
            task = reads[question] = asyncio.create_task(read())
            task.add_done_callback(lambda done: self._let_go_later(subject, question, done))
        # Shielded: others wait for it too.
        return await asyncio.shield(cast(Awaitable[_Answer], task))

    def changed(self, subject: Hashable) -> None:
        """Have it read anew from here on; who waits already gets what is being read."""
        self._reads.pop(subject, None)

    def _let_go_later(self, subject: Hashable, question: Hashable, task: "asyncio.Task[_Answer]") -> None:
        if not task.cancelled():
            task.exception()  # those who waited were told; there may be none left
        asyncio.get_running_loop().call_later(_LIFE_S, self._let_go, subject, question, task)

    def _let_go(self, subject: Hashable, question: Hashable, task: "asyncio.Task[_Answer]") -> None:
        reads = self._reads.get(subject, {})
        if reads.get(question) is task:
            del reads[question]
            if not reads:
                del self._reads[subject]

    def __len__(self) -> int:
        """Count the subjects of which something is kept."""
        return len(self._reads)
