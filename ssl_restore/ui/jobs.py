"""Work that waits its turn, tells how far it is, and can be stopped: one at a time for all."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from ssl_restore.device import out_of_memory
from ssl_restore.errors import UserError

SHOWN_EVERY_S = 0.25


class Stopped(Exception):
    """Raised inside a piece of work that was asked to stop."""


class State(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class Work:
    """A function that is called with this, and calls `progress` often.

    Attributes:
        share: Done so far, 0 to 1.
        line: What it does, or why it failed.
    """

    def __init__(self, run: Callable[[Work], None]) -> None:
        self.state, self.share, self.line = State.WAITING, 0.0, ""
        self._run = run
        self._changed = threading.Condition()
        self._version = 0
        self._stop = False

    @property
    def over(self) -> bool:
        return self.state not in (State.WAITING, State.RUNNING)

    def progress(self, share: float | None = None, line: str | None = None) -> None:
        """Tell how far it is; raises `Stopped` where it is to stop."""
        if self._stop:
            raise Stopped
        with self._changed:
            self.share = self.share if share is None else min(max(share, 0.0), 1.0)
            self.line = self.line if line is None else line
            self._tell()

    def changed(self) -> None:
        """Tell those who follow that there is something to be seen."""
        with self._changed:
            self._tell()

    def stop(self) -> None:
        """Ask it to stop: at once where it waits, else at its next `progress`."""
        with self._changed:
            self._stop = True
            self._tell()

    def changes(self) -> Iterator[None]:
        """Now, after changes, at most a few times a second, and in the end."""
        while True:
            with self._changed:
                before, over = self._version, self.over
            yield
            if over:
                return
            with self._changed:
                self._changed.wait_for(lambda: self.over, SHOWN_EVERY_S)
                while self._version == before:
                    self._changed.wait(1.0)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is over, after so many seconds at most."""
        with self._changed:
            return self._changed.wait_for(lambda: self.over, seconds)

    def _tell(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _end(self, state: State, line: str | None = None) -> None:
        with self._changed:
            self.state = state
            self.line = self.line if line is None else line
            self._tell()

    def perform(self) -> None:
        """Do it; whatever goes wrong becomes a line."""
        if self._stop:
            self._end(State.STOPPED)
            return
        self.state = State.RUNNING
        self.changed()
        try:
            self._run(self)
        except Stopped:
            self._end(State.STOPPED)
        except UserError as error:
            self._end(State.FAILED, str(error))
        except Exception as error:
            if out_of_memory(error):
                self._end(State.FAILED, "out of memory; start the page with a smaller --tile")
                return
            traceback.print_exc(file=sys.stderr)
            what = f"{type(error).__name__}: {error}".split("\n")[0]
            self._end(State.FAILED, f"an error of the program ({what}); the terminal says more")
        else:
            self._end(State.DONE)


class Queue:
    """Does one piece of work after the other, in a thread of its own."""

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()
        self._running: Work | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="restore", daemon=True)
        self._thread.start()

    def put(self, work: Work) -> None:
        with self._changed:
            self._waiting.append(work)
            self._changed.notify()

    def before(self, work: Work) -> int:
        """How many are done before it."""
        with self._changed:
            waiting = [*self._waiting]
        if work not in waiting:
            return 0
        return waiting.index(work) + (self._running is not None)

    def withdraw(self, work: Work) -> None:
        """Stop it, whether it waits or runs."""
        work.stop()
        with self._changed:
            if work not in self._waiting:
                return
            self._waiting.remove(work)
        work.perform()

    def close(self) -> None:
        """Stop everything, and wait until that has ended."""
        with self._changed:
            self._closed = True
            works = [*self._waiting, *([self._running] if self._running else [])]
            self._changed.notify()
        for work in works:
            self.withdraw(work)
        self._thread.join(timeout=60)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed and not self._waiting:
                    return
                self._running = self._waiting.popleft()
            self._running.perform()
            with self._changed:
                self._running = None
