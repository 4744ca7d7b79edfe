"""Which metric to believe: ratings by whatever names their columns have, and correlations on a made-up listening test."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from bench.analysis.listeners import Correlation, correlations
from bench.cli import app
from bench.errors import UserError
from bench.listeners import Columns, Rating, read_ratings
from bench.report import listeners as report
from tests import toys
from tests.speech import at_rate, sentence, with_noise

INFOS = {
    "good": toys.info("good", higher_is_better=True),
    "distance": toys.info("distance"),
    "chance": toys.info("chance", higher_is_better=True),
    "flat": toys.info("flat"),
}
SYSTEMS = {"a": 4.5, "b": 3.0, "c": 1.5}


def made_up(items: int = 40, seed: int = 0) -> tuple[pd.DataFrame, list[Rating]]:
    """Listeners who hear three systems apart; `good` and `distance` follow them with noise, `chance` does not, `flat` says nothing."""
    rng = np.random.default_rng(seed)
    rows, ratings = [], []
    for system, level in SYSTEMS.items():
        for item in range(items):
            mos = level + rng.normal(scale=0.3)
            ratings.append(Rating(f"u{item}", system, mos, 10))
            scores = {"good": mos + rng.normal(scale=0.3), "distance": -mos + rng.normal(scale=0.3), "chance": rng.normal(), "flat": 1.0}
            rows.append({"codec": system, "point": "p", "utterance": f"u{item}", **scores})
    return pd.DataFrame(rows), ratings


def by_row(found: list[Correlation]) -> dict[tuple[str, str, str], Correlation]:
    return {(each.metric, each.level, each.coefficient): each for each in found}


def test_metrics_that_follow_listeners_are_told_from_those_that_do_not():
    records, ratings = made_up()
    found = by_row(correlations(records, INFOS, ratings))
    for metric in ("good", "distance"):  # lower is better there: the sign is turned
        for coefficient, least in (("pearson", 0.93), ("spearman", 0.9), ("kendall", 0.75)):
            each = found[metric, "items", coefficient]
            assert least < each.low < each.value < each.high < 1
            assert (each.n, each.items) == (120, 40)
        assert found[metric, "systems", "spearman"].value == pytest.approx(1)
        assert found[metric, "systems", "pearson"].n == 3
    chance = found["chance", "items", "pearson"]
    assert chance.low < 0 < chance.high
    assert math.isnan(found["flat", "items", "kendall"].value)
    assert correlations(records, INFOS, ratings) == [*found.values()] or math.isnan(found["flat", "items", "pearson"].value)


def test_pearson_is_what_numpy_says():
    records, ratings = made_up(items=7)
    found = by_row(correlations(records, INFOS, ratings))["good", "items", "pearson"]
    mos = [rating.score for rating in ratings]
    assert found.value == pytest.approx(np.corrcoef(records["good"], mos)[0, 1])


def test_intervals_cover():
    """Of 16 listening tests, the interval around the correlation holds the true one in most."""
    true = np.sqrt(1 / (1 + 1.0))
    covered = 0
    for seed in range(16):
        rng = np.random.default_rng(seed)
        mos = rng.normal(size=60)
        frame = pd.DataFrame({"codec": "a", "point": "p", "utterance": [f"u{n}" for n in range(60)], "good": mos + rng.normal(size=60)})
        ratings = [Rating(f"u{number}", "a", value, 1) for number, value in enumerate(mos)]
        found = by_row(correlations(frame, {"good": INFOS["good"]}, ratings))["good", "items", "pearson"]
        covered += found.low <= true <= found.high
    assert covered >= 12


def test_few_items_have_no_interval():
    found = by_row(correlations(*made_up(items=4)[:1], INFOS, made_up(items=4)[1]))
    assert math.isnan(found["good", "items", "pearson"].low)


def test_ratings_of_what_was_not_run_are_refused():
    records, ratings = made_up(items=3)
    with pytest.raises(UserError, match="system that this run has not: system 'd' unknown"):
        correlations(records, INFOS, [*ratings, Rating("u0", "d", 1.0, 1)])
    with pytest.raises(UserError, match="1 ratings are of what was not run; the first: item 'u9' of a"):
        correlations(records, INFOS, [*ratings, Rating("u9", "a", 1.0, 1)])
    assert correlations(records, INFOS, [Rating("u0", "a@p", 1.0, 1)])[0].n == 1


# --- files ---------------------------------------------------------------------------------------------------------------------


def listening_test(folder: Path, levels: dict[str, float], num_items: int = 6) -> Path:
    """A CSV of single ratings, two for each file, with columns of its own names; noise of three levels."""
    folder.mkdir()
    clean = at_rate(sentence(), 16000)[:24000]
    rows = []
    for item in range(num_items):
        part = np.roll(clean, 3000 * item)
        soundfile.write(folder / f"ref{item}.wav", part, 16000)
        for system, snr_db in levels.items():
            soundfile.write(folder / f"{system}{item}.wav", with_noise(part, snr_db, item), 16000)
            audio = {"file": f"{system}{item}.wav", "original": f"ref{item}.wav"}
            rows += [{"clip": f"c{item}", "condition": system, "opinion": 1 + snr_db / 10 + 0.1 * n, **audio} for n in range(2)]
    with (folder / "ratings.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "ratings.csv"


NAMES = ("--item", "clip", "--system", "condition", "--score", "opinion")
AUDIO = ("--path", "file", "--reference", "original")


def test_a_listening_test_from_its_csv_to_the_page(tmp_path, monkeypatch):
    ratings = listening_test(tmp_path / "set", {"good": 30.0, "fair": 15.0, "bad": 0.0})
    monkeypatch.chdir(tmp_path)
    toys.run_in_this_process(monkeypatch)
    bench = CliRunner()

    def call(*arguments: str) -> str:
        done = bench.invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    assert "18 rated items" in call("listeners", str(ratings), *NAMES, *AUDIO, "--prepare", "ears")
    call("run", "ears/ears.yaml", "--set", "metrics=[mel_dac_train, delay_ms]", "--out", "results/ears")
    told = call("listeners", str(ratings), *NAMES, "--run", "results/ears")
    assert "mel\\_dac\\_train | items" in told
    found = by_row(report.read(tmp_path / "results/ears"))
    assert found["mel_dac_train", "items", "spearman"].value > 0.9  # a distance: the sign is turned
    assert found["mel_dac_train", "systems", "pearson"].n == 3
    call("report", "results/ears", "--out", "page")
    assert "What listeners say" in (tmp_path / "page/table.md").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "page/data/report.js").read_text(encoding="utf-8").partition(", ")[2].rstrip().removesuffix(");"))
    assert data["listeners"]["lines"][0]["metric"] == "mel_dac_train"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("clip,score\n", ":1: column 'item' unknown; did you mean"),
        ("item,system,score\nu,a,five\n", ":2: score: 'five' is no number"),
        ("item,system,score\nu,a,nan\n", ":2: score: 'nan' is no number"),
        ("item,system,score\nu,,5\n", ":2: system is empty"),
        ("item,system,score\n", "has no rows"),
        ("item,system,score,score\nu,a,1,5\n", ":1: column 'score' comes twice"),
        ("item,system,score\nu,a,5,6\n", ":2: has more cells than the header has columns"),
        ('item,system,score\n"u,a,5\n', "ratings.csv"),
    ],
)
def test_mistakes_in_ratings_name_their_line(content, message, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_ratings(path, Columns())
    assert message in str(error.value).replace("known:", "did you mean")
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(UserError, match="No such file"):
        read_ratings(tmp_path / "gone.csv", Columns())


def test_rated_audio_must_be_there(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("item,system,score,file\nu,a,5,gone.wav\n", encoding="utf-8")
    with pytest.raises(UserError, match=r":2: file: no file .*gone\.wav"):
        read_ratings(path, Columns(path="file"))
