"""What travels with a surface besides its document, as opaque bytes: msgpack behind one byte of format version."""

from typing import Final

import msgspec

from app.quant.maintenance import MaintenanceState

VERSION: Final = b"\x06"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(MaintenanceState).decode


def encode_state(state: MaintenanceState) -> bytes:
    """Return the state's bytes; doubles are kept bit for bit."""
    return VERSION + _encode(state)


def decode_state(data: bytes) -> MaintenanceState | None:
    """Return the state that was encoded.

    None for no state and for one that another version of the program wrote: learning then begins anew, which the
    document shows as a coverage that is null.
    """
    if data[:1] != VERSION:
        return None
    try:
        return _decode(data[1:])
    except msgspec.MsgspecError:
        return None
