"""Let a model take over an underlying from its next chain on, whatever the setting says."""

import argparse
import os
import sys

from app.service.ports import StoreUnavailable
from app.service.promotion import NotPromotable, UnknownUnderlying, promoting_by_hand
from app.settings import load
from app.store.connect import connect_promotions
from app.store.data_folder import running_url
from app.store.server_program import ServerNotStarted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is promoted where."""
    parser.add_argument("underlying", help="such as BTC")
    parser.add_argument("model", help="such as svi")


def run(arguments: argparse.Namespace) -> int:
    """Do it on the store of REDIS_URL, else on that of the service running on the data folder."""
    settings = load()
    try:
        promoting = promoting_by_hand(arguments.model, "the command line")
        desk = connect_promotions(settings.redis_url or running_url(settings.data_dir), shards=settings.shards)
        promotion = desk.promote(arguments.underlying, promoting)
        desk.close()
    except (NotPromotable, UnknownUnderlying) as refused:
        print(f"not promoted: {refused}", file=sys.stderr)
        return os.EX_DATAERR
    except (StoreUnavailable, ServerNotStarted) as away:
        print(away, file=sys.stderr)
        return os.EX_UNAVAILABLE
    before = promotion.before if promotion and promotion.before else "the one of the settings"
    print(f"{arguments.underlying}: {arguments.model} takes over from {before} with the next chain")
    return 0
