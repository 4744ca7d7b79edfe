"""Listening tests: what is made of a run, what a listener does in the page, and what the answers say."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy import stats
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import UserError
from bench.files import write_json
from bench.listeners import Columns, read_ratings
from bench.listening.design import KEY, KEY_FORMAT, REFERENCE, Design, Kind, lowpass, make, needed_trials
from bench.listening.report import render
from bench.listening.scoring import means, post_screened, read_answers, shares
from tests.browser import opened_page
from tests.runs import CODECS, synthetic_records, write_run

SYSTEMS = ("fixed_40@1q", "slime@50hz", "opus@6kbps")
ANCHORS = ("anchor 3.5 kHz", "anchor 7 kHz")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", synthetic_records(num_utterances=6, num_speakers=3), audio_utterances=4)


def key_of(out: Path) -> dict[str, Any]:
    return json.loads((out / KEY).read_text(encoding="utf-8"))


def sound(out: Path, name: str) -> tuple[np.ndarray, int]:
    text = (out / f"page/audio/{name}.js").read_text(encoding="utf-8")
    return soundfile.read(io.BytesIO(base64.b64decode(text.split('"')[3])))


# --- what is made --------------------------------------------------------------------------------------------------------------


def test_mushra_has_hidden_reference_and_anchors_and_the_page_tells_no_names(run: Path, tmp_path: Path) -> None:
    told = make([run], Design("mushra", SYSTEMS, 3), tmp_path)
    assert "3 trials and a training trial" in told
    assert "anchors at 3.5 kHz, 7 kHz" in told
    trials = key_of(tmp_path)["trials"]
    assert len({trial["utterance"] for trial in trials.values()}) == 3
    for trial in trials.values():
        assert set(trial["stimuli"].values()) == {*SYSTEMS, REFERENCE, *ANCHORS}
        assert len({sound(tmp_path, name)[0].shape for name in trial["stimuli"]}) == 1
    page = "".join(
        path.read_text(encoding="utf-8") for path in (tmp_path / "page").rglob("*") if path.is_file() and path.parent.name != "assets"
    )
    assert not [name for name in (*SYSTEMS, "fixed_", "utt/0", REFERENCE, *ANCHORS) if name in page]
    names = sorted((tmp_path / "page/audio").iterdir())
    assert len(names) == 4 * 7  # with the open reference, and the training trial
    sizes = {name: (tmp_path / f"page/audio/{name}.js").stat().st_size for name in next(iter(trials.values()))["stimuli"]}
    assert len(set(sizes.values())) == 1


def test_without_a_number_all_sentences_are_heard_where_there_are_fewer_than_eight(run: Path, tmp_path: Path) -> None:
    make([run], Design("mushra", SYSTEMS, 0), tmp_path)
    assert len(key_of(tmp_path)["trials"]) == 4  # have audio


def test_the_seed_decides(run: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("again", 0), ("b", 1)):
        make([run], Design("mushra", SYSTEMS, 3, seed), tmp_path / name)
    first, again, other = (key_of(tmp_path / name) for name in ("a", "again", "b"))
    assert first == again
    assert first["trials"] != other["trials"]
    assert first["test"] != other["test"]


def test_anchors_pass_what_is_below_and_stop_what_is_above() -> None:
    time_s = np.arange(48000) / 48000
    for cutoff in (3500, 7000):
        for hz, passes in ((cutoff / 2, True), (cutoff - 100, True), (cutoff + 500, False), (2 * cutoff, False)):
            tone = np.sin(2 * np.pi * hz * time_s)
            heard = lowpass(tone, 48000, cutoff)[4800:-4800]
            gain_db = 20 * np.log10(np.sqrt(2 * np.mean(heard**2)) + 1e-9)
            assert abs(gain_db) < 0.1 if passes else gain_db < -50
            if passes:
                assert np.abs(heard - tone[4800:-4800]).max() < 0.01  # no delay


def test_levels_are_matched_where_that_is_asked(run: Path, tmp_path: Path) -> None:
    quiet = write_run(tmp_path / "quiet", synthetic_records(num_utterances=2, num_speakers=2), audio_utterances=2)
    for path in (quiet / "audio/slime/50hz").rglob("*.flac"):
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples / 4, rate)
    for name, match in (("as_is", False), ("matched", True)):
        make([quiet], Design("abx", ("slime@50hz",), 1, match_level=match), tmp_path / name)
        (trial,) = key_of(tmp_path / name)["trials"].values()
        level = {label: np.sqrt(np.mean(sound(tmp_path / name, stimulus)[0] ** 2)) for stimulus, label in trial["stimuli"].items()}
        ratio = level["slime@50hz"] / level["reference@original"]
        assert ratio == pytest.approx(1.0 if match else 0.25, rel=0.05)
        assert ("the same level" in (tmp_path / name / "page/index.html").read_text(encoding="utf-8")) == match


def test_the_number_of_trials_is_said_before_the_test(run: Path, tmp_path: Path) -> None:
    assert (needed_trials(0.75, 0.8).trials, needed_trials(0.75, 0.8).right) == (23, 16)
    for effect, power, sided in ((0.6, 0.9, False), (0.75, 0.8, True), (0.9, 0.8, True)):
        found = needed_trials(effect, power, sided)
        alpha = 0.025 if sided else 0.05
        assert stats.binom.sf(found.right - 1, found.trials, 0.5) <= alpha < stats.binom.sf(found.right - 2, found.trials, 0.5)
        assert stats.binom.sf(found.right - 1, found.trials, effect) >= power
        fewer = found.trials - 1
        assert stats.binom.sf(stats.binom.isf(alpha, fewer, 0.5), fewer, effect) < power
    told = make([run], Design("abx", SYSTEMS[:2], 4), tmp_path)
    sentence = "23 answers are needed, of which 16 must agree: 6 listeners with 4 each."
    assert sentence in told
    assert sentence in (tmp_path / "page/index.html").read_text(encoding="utf-8")


MISTAKES = {
    "kind": ("--test abxy --codecs slime@50hz", "--test 'abxy' unknown; did you mean 'abx'?"),
    "no kind": ("--codecs slime@50hz", "--test: say which kind of test: abx, mushra, preference"),
    "no codecs": ("--test abx", "--codecs: say which points are heard; known: reference@original, fixed_40@1q"),
    "codec": ("--test abx --codecs slim@50hz", "point 'slim@50hz' unknown; did you mean 'slime@50hz'?"),
    "point": ("--test abx --codecs slime", "point 'slime' unknown; did you mean 'slime@50hz'? known: slime@100hz, slime@200hz, slime@50hz"),
    "few": ("--test abx --codecs slime@50hz --utterances 5", "--utterances 5, but 4 have audio at every chosen point; name at most 4"),
    "twice": ("--test abx --codecs slime@50hz,slime@50hz", "names a point twice"),
    "reference": ("--test mushra --codecs reference,slime@50hz", "reference@original is in every trial of MUSHRA as it is"),
    "alone": ("--test preference --codecs reference", "alone is compared with itself"),
    "effect": ("--test abx --codecs slime@50hz --effect 0.5", "0.5"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_with_the_choices(case: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, told = MISTAKES[case]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["listen", str(run), *arguments.split()])
    said = str(done.exception) if isinstance(done.exception, UserError) else done.output
    assert told in said
    assert isinstance(done.exception, UserError) or done.exit_code == 2
    assert not list(tmp_path.rglob("page"))


def test_a_run_without_audio_or_without_originals_is_refused(tmp_path: Path) -> None:
    silent = write_run(tmp_path / "silent", synthetic_records(num_utterances=2, num_speakers=2))
    with pytest.raises(UserError, match=r"silent: no audio of 'slime@50hz'.*no point of it has any"):
        make([silent], Design("preference", ("slime@50hz", "opus@6kbps"), 1), tmp_path / "out")
    records = synthetic_records(num_utterances=2, num_speakers=2)
    deaf = write_run(tmp_path / "deaf", records[records["codec"] != "reference"], audio_utterances=2)
    with pytest.raises(UserError, match="deaf: holds no audio of the originals; add the codec `reference`"):
        make([deaf], Design("mushra", ("slime@50hz",), 1), tmp_path / "out")
    make([deaf], Design("preference", ("slime@50hz", "opus@6kbps"), 1), tmp_path / "out")


def test_another_tests_key_is_not_written_over(run: Path, tmp_path: Path) -> None:
    make([run], Design("abx", ("slime@50hz",), 2), tmp_path)
    make([run], Design("abx", ("slime@50hz",), 2), tmp_path)
    with pytest.raises(UserError, match="holds the key of another listening test"):
        make([run], Design("abx", ("slime@50hz",), 2, seed=1), tmp_path)


def test_mushra_takes_nine_systems(run: Path, tmp_path: Path) -> None:
    systems = tuple(f"{codec}@{point}" for codec, (_, points) in CODECS.items() for point in points)
    with pytest.raises(UserError, match="10 points, but a MUSHRA trial takes 9"):
        make([run], Design("mushra", systems, 1), tmp_path)
    make([run], Design("mushra", systems[1:], 1), tmp_path)
    (trial,) = key_of(tmp_path)["trials"].values()
    assert len(trial["stimuli"]) == 12


# --- what a listener does ------------------------------------------------------------------------------------------------------


def start(page: Any, name: str) -> None:
    page.fill("#listener", name)
    page.get_by_role("button", name="Start").click()


def heard(page: Any) -> list[str]:
    """Waits for the sounds of a trial, and hears each."""
    page.wait_for_selector("[data-sound]")
    names = page.locator("[data-sound]").evaluate_all("buttons => buttons.map((button) => button.dataset.sound)")
    for name in names:
        page.click(f"[data-sound='{name}']")
    return names


def rate_all(page: Any, value: int) -> None:
    for slider in page.locator(".rating input").all():
        slider.fill(str(value))


def save(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_mushra_test_from_training_to_scores_outlives_a_reload(browser: Any, run: Path, tmp_path: Path) -> None:
    make([run], Design("mushra", SYSTEMS[:2], 2), tmp_path)
    key = key_of(tmp_path)["trials"]
    with opened_page(browser, tmp_path / "page/index.html") as page:
        assert "3.5 kHz and above 7 kHz" in page.inner_text("#start")
        start(page, "Ann")
        assert heard(page) == ["Reference", "A", "B", "C", "D", "E"]
        assert page.inner_text("#trial-title") == "Training"
        page.click("#next")
        assert page.inner_text("#missing") == "Rate A, B, C, D, E."
        rate_all(page, 50)
        page.click("#next")
        page.wait_for_function("document.getElementById('trial-title').textContent === 'Trial 1 of 2'")
        page.wait_for_selector("[data-sound=Reference]")
        page.click("#next")
        assert page.inner_text("#missing").startswith("Listen to Reference, A, B, C, D, E.")
        heard(page)
        page.locator(".rating input").first.fill("77")
        page.reload()
        page.wait_for_selector(".rating output:text('77')")
        for trial in ("Trial 1 of 2", "Trial 2 of 2"):
            page.wait_for_function(f"document.getElementById('trial-title').textContent === '{trial}'")
            heard(page)
            for rating in page.locator(".rating").all():
                stimuli = next(each["stimuli"] for each in key.values() if rating.get_attribute("data-stimulus") in each["stimuli"])
                label = stimuli[rating.get_attribute("data-stimulus")]
                rating.locator("input").fill(
                    str({REFERENCE: 100, "anchor 3.5 kHz": 20, "anchor 7 kHz": 60, "slime@50hz": 80}.get(label, 40))
                )
            page.click("#next")
        assert page.get_by_role("button", name="Another listener").is_disabled()
        save(page, "JSON", tmp_path)
        with save(page, "CSV", tmp_path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        page.reload()
        assert "thank you" in page.inner_text("#end")
    assert len(rows) == 2 * 5
    assert {row["listener"] for row in rows} == {"Ann"}
    answers = read_answers([tmp_path])
    found = {each.system: each.mean for each in means(answers.frame)}
    assert found == {REFERENCE: 100, "slime@50hz": 80, "anchor 7 kHz": 60, "fixed_40@1q": 40, "anchor 3.5 kHz": 20}


def test_abx_plays_x_as_one_of_the_two_and_scores_it(browser: Any, run: Path, tmp_path: Path) -> None:
    make([run], Design("abx", ("slime@50hz",), 3), tmp_path)
    with opened_page(browser, tmp_path / "page/index.html") as page:
        start(page, "=1+1")
        for _ in range(4):
            assert heard(page) == ["A", "B", "X"]
            title = page.inner_text("#trial-title")
            page.get_by_label("X is A").check()
            page.click("#next")
            page.wait_for_function(
                f"document.getElementById('trial-title').textContent !== {title!r} || !document.getElementById('end').hidden"
            )
        result = json.loads(save(page, "JSON", tmp_path).read_text(encoding="utf-8"))
        with save(page, "CSV", tmp_path).open(encoding="utf-8", newline="") as file:
            assert next(csv.DictReader(file))["listener"] == "'=1+1"  # no formula
    right = sum(each["x"] == each["stimuli"][0] for each in result["trials"])
    (share,) = shares(read_answers([tmp_path]).frame, "abx")
    assert (share.first, share.second, share.count, share.n) == ("reference@original", "slime@50hz", right, 3)


def test_orders_differ_between_listeners_and_not_between_visits_of_one(browser: Any, run: Path, tmp_path: Path) -> None:
    make([run], Design("mushra", SYSTEMS, 1), tmp_path)
    orders = []
    for name in ("Ann", "Ann", "Bob"):
        with opened_page(browser, tmp_path / "page/index.html") as page:
            start(page, name)
            heard(page)
            orders.append(page.locator(".rating").evaluate_all("rows => rows.map((row) => row.dataset.stimulus)"))
    assert orders[0] == orders[1] != orders[2]


def test_on_a_phone_the_reference_stays_at_hand_and_the_end_says_what_was_saved(browser: Any, run: Path, tmp_path: Path) -> None:
    systems = tuple(f"{codec}@{point}" for codec, (_, points) in CODECS.items() if codec != "reference" for point in points)
    make([run], Design("mushra", systems, 1), tmp_path)
    with opened_page(browser, tmp_path / "page/index.html", viewport={"width": 390, "height": 700}) as page:
        start(page, "Ann")
        for _ in range(2):
            heard(page)
            rate_all(page, 50)
            page.locator(".rating").last.scroll_into_view_if_needed()
            page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
            box = page.locator("[data-sound=Reference]").evaluate("node => node.getBoundingClientRect().toJSON()")
            assert 0 <= box["top"] < box["bottom"] <= 700
            title = page.inner_text("#trial-title")
            page.click("#next")
            page.wait_for_function(
                f"document.getElementById('trial-title').textContent !== {title!r} || !document.getElementById('end').hidden"
            )
        boxes = page.locator("#end button").evaluate_all("all => all.map((node) => node.getBoundingClientRect().toJSON())")
        assert all(below["top"] - above["bottom"] >= 8 for above, below in itertools.pairwise(boxes))
        anew = page.get_by_role("button", name="Another listener")
        assert anew.evaluate("node => getComputedStyle(node).opacity") < "1"
        path = save(page, "JSON", tmp_path)
        assert page.inner_text("#saved") == f"Saved as {path.name} in your downloads."
        assert anew.evaluate("node => getComputedStyle(node).opacity") == "1"
        anew.click()
        assert page.locator("#saved").text_content() == ""


@pytest.mark.parametrize(("kind", "scheme"), [("mushra", "light"), ("mushra", "dark"), ("preference", "dark")])
def test_axe_finds_nothing_in_a_test(browser: Any, run: Path, tmp_path: Path, kind: Kind, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    make([run], Design(kind, SYSTEMS[:2], 1), tmp_path)
    with opened_page(browser, tmp_path / "page/index.html", color_scheme=scheme, viewport={"width": 390, "height": 800}) as page:
        for part in ("start", "trial"):
            found = axe.run(page, options={"preload": False}).response["violations"]
            assert not found, [(part, each["id"], each["nodes"][0]["html"]) for each in found]
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            if part == "start":
                start(page, "Ann")
                heard(page)


# --- what the answers say ------------------------------------------------------------------------------------------------------


def key_file(folder: Path, kind: Kind, trials: int = 10, labels: tuple[str, ...] = ("a@p", "b@p")) -> dict[str, Any]:
    stimuli = {f"t{n}": {f"t{n}s{k}": label for k, label in enumerate(labels)} for n in range(trials)}
    key = {
        **{"format": KEY_FORMAT, "test": "ab12", "kind": kind, "effect": 0.75, "power": 0.8},
        "trials": {trial: {"dataset": "d", "utterance": f"u{trial}", "stimuli": names} for trial, names in stimuli.items()},
    }
    folder.mkdir(exist_ok=True)
    write_json(folder / KEY, key)
    return key


def result_file(folder: Path, key: dict[str, Any], listener: str, answer: Any, **changes: Any) -> Path:
    """answer(trial number, stimuli) is what the trial adds to trial and stimuli."""
    trials = [
        {"trial": trial, "stimuli": [*facts["stimuli"]], **answer(number, [*facts["stimuli"]])}
        for number, (trial, facts) in enumerate(key["trials"].items())
    ]
    told = {"test": key["test"], "kind": key["kind"], "listener": listener, "session": listener, "finished": "now", "trials": trials}
    path = folder / f"{listener}.json"
    path.write_text(json.dumps(told | changes), encoding="utf-8")
    return path


def test_mushra_means_have_t_intervals_over_ratings_and_over_listeners(tmp_path: Path) -> None:
    key = key_file(tmp_path, "mushra", 10, (REFERENCE, "a@p"))
    rng = np.random.default_rng(0)
    scores = rng.integers(30, 90, (4, 10))
    for number in range(4):
        result_file(tmp_path, key, f"l{number}", lambda t, s, own=scores[number]: {"scores": {s[0]: 100, s[1]: int(own[t])}})
    best, found = means(read_answers([tmp_path]).frame)
    assert best.system == REFERENCE
    assert (found.ratings, found.listeners, found.items) == (40, 4, 10)
    for bounds, values in (((found.low, found.high), scores.ravel()), ((found.low_listeners, found.high_listeners), scores.mean(axis=1))):
        assert bounds == pytest.approx(stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values)))


def test_who_misses_the_hidden_reference_too_often_is_left_out_and_named(tmp_path: Path) -> None:
    key = key_file(tmp_path, "mushra", 20, (REFERENCE, "a@p"))
    for name, misses in (("three", 3), ("four", 4)):  # 15 % is allowed
        result_file(tmp_path, key, name, lambda t, s, m=misses: {"scores": {s[0]: 89 if t < m else 90, s[1]: 10 if m == 3 else 99}})
    kept, excluded = post_screened(read_answers([tmp_path]).frame)
    assert set(kept["listener"]) == {"three"}
    assert [(each.listener, each.below, each.items, each.above) for each in excluded] == [("four", 4, 20, 0)]
    text = render(read_answers([tmp_path]), False, tmp_path / "ratings.csv")
    assert "excluded four: rated the hidden reference below 90 in 4 of 20 items (BS.1534-3 allows 15 %)" in text
    assert "20 ratings of a system = 1 listeners x 20 items" in text
    (rated, *_) = read_ratings(tmp_path / "ratings.csv", Columns())
    assert (rated.system, rated.score) == ("a@p", 10)
    (tmp_path / "three.json").unlink()
    with pytest.raises(UserError, match="nobody passes the post-screening: four: rated"):
        render(read_answers([tmp_path]), False, None)


def test_who_does_not_hear_the_mid_anchor_is_left_out_but_not_by_items_that_hide_it(tmp_path: Path) -> None:
    key = key_file(tmp_path, "mushra", 20, (REFERENCE, ANCHORS[1], "a@p"))

    def rate(name: str, deaf_to: int) -> None:
        """Trials 0 to 4 hide the anchor from all; of the other 15, `deaf_to` from this listener."""
        result_file(tmp_path, key, name, lambda t, s: {"scores": {s[0]: 100, s[1]: 91 if t < 5 + deaf_to else 90, s[2]: 50}})

    for name, deaf_to in (("keen", 0), ("sharp", 0), ("alert", 0), ("fair", 2), ("dull", 3)):  # 15 % of 15 items are 2.25
        rate(name, deaf_to)
    kept, excluded = post_screened(read_answers([tmp_path]).frame)
    assert set(kept["listener"]) == {"keen", "sharp", "alert", "fair", "dull"}  # two of five are too many: those items hide it as well
    for number in range(4):
        rate(f"more{number}", 0)
    kept, excluded = post_screened(read_answers([tmp_path]).frame)
    assert [str(each) for each in excluded] == ["dull: rated the 7 kHz anchor above 90 in 3 of 15 items (BS.1534-3 allows 15 %)"]
    assert "dull" not in set(kept["listener"])


def test_abx_is_a_one_sided_binomial_test(tmp_path: Path) -> None:
    key = key_file(tmp_path, "abx", 23)
    result_file(tmp_path, key, "l", lambda t, s: {"x": s[t % 2], "answer": s[t % 2] if t < 16 else s[1 - t % 2]})
    (found,) = shares(read_answers([tmp_path]).frame, "abx")
    assert (found.count, found.n) == (16, 23)
    assert found.p == pytest.approx(stats.binom.sf(15, 23, 0.5))
    assert found.low < 16 / 23 < found.high
    told = json.loads(render(read_answers([tmp_path]), True, None))
    assert (told["needed_trials"], told["pairs"][0]["count"]) == (23, 16)
    assert "16 of 23" in render(read_answers([tmp_path]), False, None)


def test_preference_is_a_sign_test_over_those_who_have_one(tmp_path: Path) -> None:
    key = key_file(tmp_path, "preference", 12)
    result_file(tmp_path, key, "l", lambda t, s: {"answer": s[0] if t < 8 else s[1] if t < 10 else None})
    (found,) = shares(read_answers([tmp_path]).frame, "preference")
    assert (found.first, found.count, found.n, found.undecided) == ("a@p", 8, 10, 2)
    assert found.p == pytest.approx(2 * stats.binom.sf(7, 10, 0.5))


def scores(t: int, s: list[str]) -> dict[str, Any]:
    return {"scores": {s[0]: 100, s[1]: 40}}


DAMAGE = {
    "half a file": (lambda folder, path, key: path.write_text(path.read_text()[:200]), "l.json: is damaged, or no JSON"),
    "another file": (lambda folder, path, key: path.write_text("[1]"), "l.json: is not what a listening test saved"),
    "a score above": (
        lambda folder, path, key: result_file(folder, key, "l", lambda t, s: {"scores": {s[0]: 101, s[1]: 4}}),
        "trials.0.scores.t0s0: Input should be less than or equal to 100",
    ),
    "not finished": (
        lambda folder, path, key: result_file(folder, {**key, "trials": dict([*key["trials"].items()][:4])}, "l", scores),
        "l.json: is not finished: 4 of 10 trials",
    ),
    "another test": (
        lambda folder, path, key: result_file(folder, key, "l", scores, test="ffff"),
        "l.json: is of the mushra test ffff, ",
    ),
    "another stimulus": (
        lambda folder, path, key: result_file(folder, key, "l", lambda t, s: {"scores": {s[0]: 1, "else": 4}}),
        "l.json: trial t0: its stimuli and answers are not those of the test: t0s0, t0s1",
    ),
    "twice": (lambda folder, path, key: (folder / "m.json").write_bytes(path.read_bytes()), "m.json: is the same result as"),
    "no key": (lambda folder, path, key: (folder / KEY).unlink(), "--score: no key; add the key.json that `bench listen` wrote"),
    "two keys": (lambda folder, path, key: (folder / "z.json").write_bytes((folder / KEY).read_bytes()), "--score: two keys"),
    "a key by hand": (
        lambda folder, path, key: (folder / KEY).write_text((folder / KEY).read_text().replace("a@p", "c@p")),
        "key.json: damaged: its checksum does not fit",
    ),
    "no result": (lambda folder, path, key: path.unlink(), "key.json: no results of listeners beside the key"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_results_that_do_not_belong_are_one_line_with_the_file(case: str, tmp_path: Path) -> None:
    damage, told = DAMAGE[case]
    key = key_file(tmp_path / "t", "mushra", 10, (REFERENCE, "a@p"))
    damage(tmp_path / "t", result_file(tmp_path / "t", key, "l", scores), key)
    done = CliRunner().invoke(app, ["listen", "--score", str(tmp_path / "t")])
    assert isinstance(done.exception, UserError)
    assert told in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1


def test_the_command_scores_files_and_folders(tmp_path: Path) -> None:
    key = key_file(tmp_path, "mushra", 3, (REFERENCE, "a@p"))
    path = result_file(tmp_path, key, "l", scores)
    for places in ([str(tmp_path)], [str(path), str(tmp_path / KEY)]):
        done = CliRunner().invoke(app, ["listen", "--score", *places, "--json"])
        assert done.exit_code == 0, done.output
        assert [each["mean"] for each in json.loads(done.output)["systems"]] == [100, 40]
