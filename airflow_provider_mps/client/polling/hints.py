"""How far lists of ended tasks can be relied on, by what looking at each task alone has found. Pure."""

from __future__ import annotations

# A task that is named again and again is called forward once in so many seconds.
_CALL_AGAIN = 60.0
# A task that was found ended is missing when so many whole lists have not named it.
_LISTS_TO_NAME_IT = 3
# So often more wrong than right gives lists up, however long that takes; what they were right before counts so much.
_WRONG_TO_GIVE_UP = 10
_MOST_CREDIT = 100
_FADING = 0.9
_FRESH = 0.5
# Lists are believed without a look after so many that they were right about, and one in a hundred that they were not.
_PROVEN = 20.0
_FALSE = 0.01
_MOST = 10_000


class HintAccuracy:
    """What lists have named, rightly and wrongly, and what they have not; of late counts most."""

    def __init__(self) -> None:
        self._helped = 0.0
        self._wrong = 0.0
        self._false = 0.0
        self._credit = 0
        self._called: dict[str, float] = {}
        self._unnamed: dict[str, int] = {}

    @property
    def is_earned(self) -> bool:
        """Lists have helped lately, and far more than they were wrong: looks at each task alone may be fewer."""
        return self._helped >= _FRESH and self._helped > 2 * self._wrong

    @property
    def is_proven(self) -> bool:
        """What lists have named lately had ended: who can bear a mistake need not look."""
        return self._helped >= _PROVEN and self._false <= _FALSE * self._helped

    @property
    def is_lost(self) -> bool:
        """Lists are wrong more often than they help: asking for them is of no use."""
        return self._credit < -_WRONG_TO_GIVE_UP

    def named(self, task_id: str) -> None:
        """A list says that a task has ended."""
        self._unnamed.pop(task_id, None)

    def may_call(self, task_id: str, now: float) -> bool:
        """Whether to look at a task because a list names it; once in a while, if it is named for long."""
        if now - self._called.get(task_id, -_CALL_AGAIN) < _CALL_AGAIN:
            return False
        self._called[task_id] = now
        return True

    def found(self, task_id: str, *, ended: bool, called: bool, should_be_named: bool) -> None:
        """
        A look has shown the state of a task.

        :param called: it was made because a list had named the task.
        :param should_be_named: the lists to come ought to name it.
        """
        if called and ended:
            self._helped += 1
            self._credit = min(self._credit + 1, _MOST_CREDIT)
        elif called:
            self._false += 1
            self._was_wrong()
        elif ended and should_be_named and len(self._unnamed) < _MOST:
            self._unnamed[task_id] = 0

    def round_over(self, now: float, *, whole: bool) -> None:
        """Lists were read, to their end or not."""
        self._helped *= _FADING
        self._wrong *= _FADING
        self._false *= _FADING
        self._called = {task_id: at for task_id, at in self._called.items() if now - at < _CALL_AGAIN}
        if not whole:
            return
        for task_id, lists in list(self._unnamed.items()):
            if lists + 1 < _LISTS_TO_NAME_IT:
                self._unnamed[task_id] = lists + 1
            else:
                del self._unnamed[task_id]
                self._was_wrong()

    def _was_wrong(self) -> None:
        self._wrong += 1
        self._credit -= 1
