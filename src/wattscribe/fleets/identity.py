"""Which board it is, so that it can be recognised and not looked up: a label, and an id that a salt keeps from being one."""

from __future__ import annotations

import hashlib
import hmac
import uuid

from wattscribe.metering.files import SensorFiles
from wattscribe.records import Board

ID_LENGTH = 12
_PLACES = ("proc/device-tree/serial-number", "etc/machine-id")
_RANDOM_ADDRESS = 1 << 40
"""Set in a network address that `uuid.getnode` made up, another one in each process."""


def board_of(label: str, salt: str, *, simulated: str | None) -> Board:
    """This board, under a label. The same board under the same salt has the same id; without the salt the id tells nothing.

    A simulated one is its label: many of them are played on one machine.
    """
    if simulated is not None:
        own = [simulated, label]
    else:
        files = SensorFiles()
        own = [files.text(files.path(place)) or "" for place in _PLACES]
        address = uuid.getnode()
        own.append("" if address & _RANDOM_ADDRESS else str(address))
    digest = hmac.new(salt.encode("utf-8"), "\0".join(own).encode("utf-8"), hashlib.sha256)
    return Board(label=label, id=digest.hexdigest()[:ID_LENGTH])
