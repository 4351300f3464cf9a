"""Outside formats of option chains: pure parsing, bytes in. A venue is a file of this room and one line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from app.venues.deribit import DeribitVenue
from app.venues.native import NativeVenue
from app.venues.native_columns import COLUMNS_MEDIA_TYPE, NativeColumnsVenue
from app.venues.venue import Venue

VENUES: Final[Mapping[str, Venue]] = MappingProxyType(
    {
        "deribit": DeribitVenue(),
        "native": NativeVenue(),
    }
)
"""Every venue by the name chains are posted under."""

BODY_FORMATS: Final[Mapping[tuple[str, str], Venue]] = MappingProxyType(
    {("native", COLUMNS_MEDIA_TYPE): NativeColumnsVenue()}
)
"""Bodies a venue takes besides its usual one, by its name and their media type."""
