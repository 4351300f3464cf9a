"""What a venue is: a name, the shape of its body and one pure function from bytes to a chain."""

from typing import Any, Protocol

from app.quant.chain import OptionChain


class Venue(Protocol):
    """An outside format of option chains.

    | member    | required | what it is                                                                        |
    |-----------|----------|-----------------------------------------------------------------------------------|
    | `name`    | yes      | the last part of the path chains are posted to                                     |
    | `schema`  | yes      | the msgspec type bodies are decoded with; the API's schema is generated from it    |
    | `example` | yes      | a small body `parse` accepts                                                       |
    | `parse`   | yes      | bytes in, chain out; no clock, no I/O                                              |
    """

    @property
    def name(self) -> str:
        """Return the venue's name in paths and labels."""
        ...

    @property
    def schema(self) -> Any:
        """Return the type a body is decoded with, fit for ``msgspec.json.schema_components``."""
        ...

    @property
    def example(self) -> bytes:
        """Return a small valid body."""
        ...

    def parse(self, body: bytes, *, received_ms: int) -> OptionChain:
        """Return the chain in ``body``, which arrived at ``received_ms`` (ms since the epoch, UTC).

        Raises InvalidChain, and nothing else, for any bytes that are not a chain of this venue.
        """
        ...
