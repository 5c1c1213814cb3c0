"""A machine whose clock is two hours behind: on the path of a process, wall time is what it would be there."""

import datetime
import time

LATE_S = 7200.0
_now = time.time


def _late() -> float:
    return _now() - LATE_S


class _Late(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Late":
        return cls.fromtimestamp(_late(), tz)


time.time = _late
datetime.datetime = _Late  # type: ignore[misc]
