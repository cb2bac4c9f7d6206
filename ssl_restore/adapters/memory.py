"""What is kept of a stream: a bounded number of things, the newest or spread over all."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """At most `most` of the things that were added: the newest, or spread evenly over all."""

    def __init__(self, *, newest: bool) -> None:
        self.newest, self.kept = newest, list[T]()
        self._count, self._every = 0, 1

    def add(self, thing: T, most: int) -> None:
        if self.newest or self._count % self._every == 0:
            self.kept.append(thing)
        self._count += 1
        if len(self.kept) > most:
            if self.newest:
                del self.kept[0]
            else:
                self.kept, self._every = self.kept[::2], 2 * self._every
