"""A recorded Deribit chain moved by whole days: every time and every date in it, so that each expiry is as far away.

A recording can then be played again and again, each pass newer than the one before.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from app.feeds.recording import RecordedChain
from app.quant.year_fraction import MS_PER_DAY

_TIME: Final = re.compile(rb'("(?:timestamp|collected_from_ms|collected_to_ms)": ?)(\d{13})\b')
_DATE: Final = re.compile(rb"(?<=-)\d{1,2}[A-Z]{3}\d{2}(?=[-\"])")
_DATE_FORMAT: Final = "%d%b%y"


def days_later(chain: RecordedChain, days: int) -> RecordedChain:
    """Return ``chain`` with its times and the dates in its instruments' names moved by ``days``."""
    if days == 0:
        return chain
    body = _TIME.sub(lambda found: found[1] + b"%d" % (int(found[2]) + days * MS_PER_DAY), chain.body)
    body = _DATE.sub(lambda found: _moved(found[0], days), body)
    return RecordedChain(as_of_ms=chain.as_of_ms + days * MS_PER_DAY, body=body, venue=chain.venue)


@lru_cache(maxsize=256)
def _moved(date: bytes, days: int) -> bytes:
    """Return a date such as 7APR23 moved by ``days``, written as Deribit writes it: no zero before the day."""
    moved = datetime.strptime(date.decode().zfill(7), _DATE_FORMAT) + timedelta(days=days)
    return f"{moved.day}{moved:%b%y}".upper().encode()
