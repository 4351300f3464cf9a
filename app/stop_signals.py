"""SIGTERM and SIGINT as an event, heard at once whatever the main thread is computing."""

import signal
import threading
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set, at once, whatever the main thread is computing.

    Python runs a signal's handler between two steps of the main thread, and a compiled call is one step; so the
    signals are blocked and a thread waits for them. Call it from the main thread, before others are started.
    """
    stop = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def wait() -> None:
        signal.sigwait(STOP_SIGNALS)
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop
