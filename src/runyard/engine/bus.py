"""Who wants to know that a run changed: called after the commit, on the writer's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Wake = Callable[[], None]


class Bus:
    """Wake-ups by run. They carry nothing: who is woken reads the store, so nothing can be missed or doubled."""

    def __init__(self) -> None:
        self._watchers: dict[int, list[Wake]] = {}

    def watch(self, run_id: int, wake: Wake) -> Callable[[], None]:
        """Calls `wake` after each commit that touches the run, until the returned function is called."""
        self._watchers.setdefault(run_id, []).append(wake)

        def unwatch() -> None:
            watchers = self._watchers.get(run_id, [])
            if wake in watchers:
                watchers.remove(wake)
            if not watchers:
                self._watchers.pop(run_id, None)

        return unwatch

    def tell(self, run_ids: Iterable[int]) -> None:
        """Wakes the watchers of these runs."""
        if not self._watchers:
            return
        for run_id in run_ids:
            for wake in list(self._watchers.get(run_id, ())):
                wake()

    def tell_all(self) -> None:
        """Wakes everybody: any run may have changed."""
        self.tell(list(self._watchers))
