"""Waiting for what another thread hands over."""

import queue
import signal
import threading

import pytest

from wherry.client.handover import Handover


def test_ctrl_c_of_which_another_thread_was_told_ends_waiting_too() -> None:
    """So does one in the instant in which waiting begins: nothing else wakes who waits."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    other = threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT))

    def wait() -> None:
        other.start()
        Handover[int](1).get()

    try:
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        other.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("timeout", [-1.0, 0.0, 0.01, 0.6])
def test_what_is_there_is_given_and_nothing_is_waited_for_beyond_the_limit(timeout: float) -> None:
    handover = Handover[int](1)
    handover.put(7)
    assert handover.get(timeout) == 7
    with pytest.raises(queue.Empty):
        handover.get(timeout)
