"""``make bench``: the figures of this machine, as a table and as bench.json."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import accuracy, engine, fan_out, footprint, post_to_frame, request_times, scaling, throughput
from tests.bench.figure import Figure, print_table, write_json
from tests.running_service import running_service

REPORT = Path("bench.json")


def all_figures(data_dir: Path) -> Iterator[Figure]:
    yield from engine.figures()
    yield from accuracy.figures()
    with running_service(data_dir, SMILEKEEPER_WORKERS="1") as service:
        yield from post_to_frame.figures(service)
        yield from request_times.figures(service)
        yield from throughput.figures(service)
        yield from fan_out.figures(service)
        yield from footprint.figures(service)
        service.stop()
    with running_service(data_dir, SMILEKEEPER_WORKERS="1") as service:
        yield Figure("second start until ready", service.ready_after_s, "s")
    yield from scaling.figures(data_dir)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = list(all_figures(Path(folder) / "data"))
    print_table(figures)
    write_json(figures, REPORT)


if __name__ == "__main__":
    main()
