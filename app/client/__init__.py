"""A typed client of a running service, blocking and asyncio.

    from app.client import Client

    with Client("http://127.0.0.1:8000", api_key=None) as desk:
        surface = desk.post_chain("deribit", body, wait_s=2.0)     # the surface, if it is fitted in time
        vols = desk.evaluate("BTC", tenor_days=[30, 30, 30], delta=["25P", "ATM", "25C"], greeks=True)
        print(vols.vol, vols.vol_low, vols.vol_high)
        together = desk.correlations("BTC", "ETH")                  # of forwards, vol levels, skews, curvatures, slopes
        for heard in desk.stream("BTC", "ETH"):                     # for ever: it reconnects and resumes by itself
            if not heard.follows:
                print("surfaces were missed:", heard.missed)        # None: nobody can say how many
            print(heard.surface.underlying, heard.surface.version, heard.surface.fit.rmse_vol)

        for event in desk.events("BTC", kind="gate"):               # newest first; stream(events=True) says new ones
            print(event.at, event.message)

and with asyncio:

    async with AsyncClient("http://127.0.0.1:8000") as desk:
        async for heard in desk.stream():                           # every underlying
            ...

A request that the service cannot take now (429, 503, no answer) is tried again for ``retry_for_s``; every other
refusal raises ServiceError with the service's own words. Nothing of the server is imported.
"""

from app.client.answers import ChainOutcome, Evaluation, Heard, HeardEvent, ServiceError, SurfaceLine
from app.client.asynchronous import AsyncClient
from app.client.blocking import Client
from app.client.stream_state import ChannelRejected

__all__ = [
    "AsyncClient",
    "ChainOutcome",
    "ChannelRejected",
    "Client",
    "Evaluation",
    "Heard",
    "HeardEvent",
    "ServiceError",
    "SurfaceLine",
]
