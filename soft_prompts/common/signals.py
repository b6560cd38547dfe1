"""How is a run told to stop? By SIGINT or SIGTERM: the first ends it in order after a whole step, a second at once."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from soft_prompts.common.console import say_at_once
from soft_prompts.common.errors import Interrupted, goes_on

FINISHING = "finishing this step; again to lose it"


class StopSignals:
    """What SIGINT and SIGTERM have asked for; the first ends a run in order, a second one at once."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._waits = False

    def asked(self) -> bool:
        """Is a stop asked for? To be looked at after each micro-batch."""
        return bool(self._numbers)

    @contextmanager
    def after_whole_steps(self) -> Iterator[None]:
        """Within, a signal is only noted, and whoever asks stops at the next whole step; elsewhere it stops at once."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        if self.asked():
            raise KeyboardInterrupt

    def hear(self, number: int, _: object) -> None:
        """A signal's handler."""
        if self.asked():
            os._exit(128 + number)
        self._numbers.append(number)
        if self._waits and multiprocessing.parent_process() is None:  # a parent says it for all its runs
            say_at_once(FINISHING)
        if not self._waits:
            raise KeyboardInterrupt  # unlike our own error, no library on the way catches it


@contextmanager
def stop_signals(fresh: bool = False, line: str | None = None) -> Iterator[StopSignals]:
    """Listen to SIGINT and SIGTERM; raises Interrupted with the line. Outside of the main thread somebody else
    listens."""
    stop = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except KeyboardInterrupt:
        raise Interrupted(line or f"stopped; {goes_on(fresh)}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
