import gzip
import json
import os
from pathlib import Path

import pytest

from app.__main__ import main
from app.feeds.recording import SHIPPED

CHAIN = Path(__file__).parents[1] / "data" / "deribit_btc_chain_2026-08-01T175804Z.json.gz"


def test_the_table_has_a_line_for_every_expiry_and_the_certificate(capsys):
    assert main(["calibrate", str(CHAIN)]) == 0
    title, _, header, *rows, total, blank, _legend, certificate = capsys.readouterr().out.splitlines()
    assert title == "BTC  2026-08-01T17:58:04.320Z  svi_spline: ok"
    assert " ".join(header.split()) == "expiry (UTC) days forward sd ATM % 25d rr rmse inside used dropped"
    assert len(rows) == 13
    assert rows[0].startswith("2026-08-02 08:00    0.58")
    assert total.split()[0] == "all"
    assert sum(int(row.split("%")[1].split()[0]) for row in rows) == int(total.split("%")[1].split()[0])
    assert blank == ""
    assert certificate.startswith("certificate: free of static arbitrage, exact proof; ")


def test_json_is_the_published_document(capsys):
    assert main(["calibrate", str(CHAIN), "--json", "--model", "svi"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["underlying"], document["model"], document["status"]) == ("BTC", "svi", "ok")
    assert len(document["slices"]) == 13
    assert document["recalibration"]["reason"] == "it is the first"


def test_the_fit_is_judged_as_a_first_surface_is(capsys):
    assert main(["calibrate", str(CHAIN), "--model", "essvi"]) == 0
    title = capsys.readouterr().out.splitlines()[0]
    assert title.startswith("BTC  2026-08-01T17:58:04.320Z  essvi: degraded (inside: share of quotes inside is 0.58")


def test_a_line_of_a_recording_is_chosen_and_the_last_by_default(capsys):
    times = []
    for chosen in (["--line", "1"], ["--line", "64"], []):
        assert main(["calibrate", str(SHIPPED[1]), "--json", *chosen]) == 0
        times.append(json.loads(capsys.readouterr().out)["as_of"])
    assert times[0] < times[1] == times[2]


@pytest.mark.parametrize("line", ["0", "65"])
def test_a_line_the_recording_lacks_is_refused(line, capsys):
    assert main(["calibrate", str(SHIPPED[1]), "--line", line]) == os.EX_DATAERR
    assert f"it has 64 chains, none is number {line}" in capsys.readouterr().err


def test_a_chain_without_a_smile_is_explained_expiry_by_expiry(tmp_path, capsys):
    chain = json.loads(gzip.decompress(CHAIN.read_bytes()))
    chain["options"] = [record for record in chain["options"] if record["instrument_name"].startswith("BTC-28AUG26-6")][
        :2
    ]
    path = tmp_path / "deribit_two_quotes.json"
    path.write_text(json.dumps(chain))
    assert main(["calibrate", str(path)]) == os.EX_DATAERR
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path}: none of 1 expiries has enough usable quotes")
    assert second.startswith("  2026-08-28 08:00 too_few_quotes: ")


@pytest.mark.parametrize("content", ["", "[]", '{"options": [{"instrument_name": "nothing"}]}'])
def test_what_is_no_chain_is_refused(tmp_path, content, capsys):
    path = tmp_path / "deribit_nothing.json"
    path.write_text(content)
    assert main(["calibrate", str(path)]) == os.EX_DATAERR
    assert str(path) in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["calibrate", str(tmp_path / "deribit_gone.json")]) == os.EX_DATAERR
    assert "deribit_gone.json" in capsys.readouterr().err
