"""How far lists of ended tasks can be relied on. One counter; pure."""

from __future__ import annotations

from airflow_provider_mps.client.polling.settings import PollerSettings

_MAX_UNNAMED = 10_000  # tasks


class HintAccuracy:
    """
    Points for what lists say of ended tasks: one for a hint, less for a mistake.

    A hint (a list names a task as ended) counts as right until its wait comes back. A mistake is a false hint, or a
    task that was found ended and that several complete lists since then have not named.
    """

    def __init__(self, settings: PollerSettings) -> None:
        self._settings = settings
        self._credit = 0
        self._unnamed: dict[str, int] = {}

    @property
    def is_useful(self) -> bool:
        """Lists are right far more often than wrong, or have said nothing yet: single polls may be fewer."""
        return self._credit >= 0

    @property
    def is_unreliable(self) -> bool:
        """Lists are wrong too often to be read."""
        return self._credit <= self._settings.min_credit

    def hint(self) -> None:
        """A list has named a task that is waited for."""
        self._credit = min(self._credit + 1, self._settings.max_credit)

    def false_hint(self) -> None:
        """A task that a list named as ended runs on."""
        self._credit -= 1 + self._settings.points_for_mistake

    def found_ended(self, task_id: str) -> None:
        """A poll found a task ended before a list named it: the next complete lists should name it."""
        if len(self._unnamed) < _MAX_UNNAMED:
            self._unnamed[task_id] = 0

    def named(self, task_id: str) -> None:
        """A list names this task."""
        self._unnamed.pop(task_id, None)

    def list_complete(self) -> None:
        """A list was read to its end."""
        for task_id, lists in list(self._unnamed.items()):
            if lists + 1 < self._settings.lists_to_name:
                self._unnamed[task_id] = lists + 1
            else:
                del self._unnamed[task_id]
                self._credit -= self._settings.points_for_mistake
