"""An iterator that runs in a thread of its own, so that a screen can answer keys while it works."""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Pulls items before they are taken, but no more than `limit` of them."""

    def __init__(self, source: Iterator[Item], limit: int = 1) -> None:
        self.limit = limit
        self._items: deque[Item] = deque()
        self._error: BaseException | None = None
        self._is_over = False
        self._is_closed = False
        self._is_waiting = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._pull, args=(source,), daemon=True)
        self._thread.start()

    def take(self) -> Item | None:
        """The next item if there is one; raises what the source raised, after its last item."""
        with self._changed:
            if self._items:
                self._changed.notify()
                return self._items.popleft()
            if self._error:
                raise self._error
            return None

    @property
    def is_over(self) -> bool:
        """Whether every item was taken and no more will come."""
        with self._changed:
            return self._is_over and not self._items and not self._error

    @property
    def is_busy(self) -> bool:
        """Whether the next item is being made at this moment."""
        with self._changed:
            return not (self._is_over or self._is_waiting)

    def close(self) -> None:
        """Have the thread end after the item that it is making, and wait for it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def allow(self, limit: int) -> None:
        """Change how many items may wait to be taken."""
        with self._changed:
            self.limit = limit
            self._changed.notify()

    def _pull(self, source: Iterator[Item]) -> None:
        try:
            for item in source:
                with self._changed:
                    self._items.append(item)
                    self._is_waiting = True
                    self._changed.wait_for(self._may_go_on)
                    self._is_waiting = False
                    if self._is_closed:
                        return
        except BaseException as error:  # of whatever kind: it is raised again by `take`
            self._error = error
        finally:
            if isinstance(source, Generator):
                source.close()
            self._is_over = True

    def _may_go_on(self) -> bool:
        return self._is_closed or len(self._items) < self.limit
