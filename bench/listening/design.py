"""Listening tests from the audio of finished runs: which sentences and systems are heard, and the folder that listeners get."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import soundfile
from scipy import signal, stats

from bench import audio
from bench.analysis.grid import Point
from bench.errors import UserError, listed, unknown
from bench.files import read_json, write_json, write_text
from bench.report.build import ASSETS as REPORT_ASSETS
from bench.report.build import with_files
from bench.report.leaderboard import STYLE, rendered, script
from bench.report.merge import Merged, merge

Kind = Literal["abx", "mushra", "preference"]
KINDS: tuple[Kind, ...] = ("abx", "mushra", "preference")
ASSETS = Path(__file__).parent / "assets"
KEY = "key.json"  # which stimulus is of which system; stays with the experimenter
KEY_FORMAT = "listening key 1"
REFERENCE = "hidden reference"  # what the key calls it; systems have an @ in their names
ANCHORS_HZ = (3500, 7000)  # low and mid anchor (ITU-R BS.1534-3, section 5.1)
STOP_BAND_HZ, STOP_BAND_DB = 500, 65  # of the anchors: 0.005 dB of ripple below the cut-off, STOP_BAND_DB down STOP_BAND_HZ above it
MAX_STIMULI = 12  # a MUSHRA trial (BS.1534-3, section 5.2)
ADVISED_S = 12.0  # longest sentence (BS.1534-3, section 5.2)
ALPHA = 0.05
_USUAL_UTTERANCES = 8


@dataclass(frozen=True)
class Design:
    """What is asked of whom.

    systems       CODEC@POINT, or CODEC where it has one point
    utterances    sentences, each in one trial for each comparison; 0: eight, or all that can be heard where there are fewer
    match_level   brings every stimulus to the RMS level of the original
    effect        share of right answers (ABX), or of one preference, that is to be found with probability `power`
    """

    kind: Kind
    systems: tuple[str, ...]
    utterances: int
    seed: int = 0
    match_level: bool = False
    effect: float = 0.75
    power: float = 0.8


@dataclass(frozen=True)
class Needed:
    """So many answers decide, if at least `right` of them agree (exact binomial test at ALPHA)."""

    trials: int
    right: int


def kind_of(name: str) -> Kind:
    for kind in KINDS:
        if name == kind:
            return kind
    raise UserError(unknown("--test", name, KINDS) if name else f"--test: say which kind of test: {', '.join(KINDS)}")


def needed_trials(effect: float, power: float, two_sided: bool = False) -> Needed:
    """The fewest trials in which an exact binomial test against chance finds the share `effect` with probability `power`."""
    alpha = ALPHA / 2 if two_sided else ALPHA
    counts = np.arange(1, 20_000)
    right = stats.binom.isf(alpha, counts, 0.5).astype(int) + 1
    enough = stats.binom.sf(right - 1, counts, effect) >= power
    if not enough.any():
        raise UserError(f"--effect {effect:g}: too near to chance (0.5) to be found in {len(counts)} trials; name a greater one")
    first = int(np.argmax(enough))
    return Needed(int(counts[first]), int(right[first]))


def make(runs: Sequence[Path], design: Design, out: Path) -> str:
    """Writes the folder of the test and its key; returns what to do next. UserError says what of `design` is not here, and the choices."""
    merged = merge(runs)
    files = _files(merged)
    where = " and ".join(map(str, runs))
    ceiling = _ceiling(merged, files)
    if not design.systems:
        raise UserError(f"{where}: --codecs: say which points are heard; known: {', '.join('@'.join(point) for point in files)}")
    points = [_find(name, list(files), where) for name in design.systems]
    comparisons = _comparisons(design, points, ceiling, where)
    needs = list(dict.fromkeys([*(point for each in comparisons for point in each), *([ceiling] if ceiling else [])]))
    units = _shared(files, needs, design.utterances or 1, where)
    design = replace(design, utterances=design.utterances or min(_USUAL_UTTERANCES, len(units)))
    order = np.random.default_rng(design.seed).permutation(len(units))
    chosen = [units[number] for number in order[: design.utterances]]
    training = units[order[design.utterances]] if len(units) > design.utterances else chosen[0]
    wanted = [files[point][unit] for point in needs for unit in (*chosen, training)]
    sample_rate = max(_probed(path)[1] for path in dict.fromkeys(wanted))
    anchors = _anchors(files[ceiling][chosen[0]]) if design.kind == "mushra" and ceiling else ()
    test_id = _identity(design, merged, [*chosen, training], needs)
    _check_place(out, test_id)

    places = [(unit, each) for each in comparisons for unit in chosen] + [(training, comparisons[0])]
    sounds = [_stimuli(unit, each, files, ceiling, anchors, sample_rate, design) for unit, each in places]
    names = iter(f"s{number:03d}" for number in np.random.default_rng([design.seed, 1]).permutation(sum(len(each) + 1 for each in sounds)))
    trials, key = [], {}
    folder = out / "page"
    for number, ((dataset, utterance), stimuli) in enumerate(zip((unit for unit, _ in places), sounds, strict=True)):
        of_system = {next(names): label for label in stimuli}
        for name, label in of_system.items():
            _write_sound(folder, name, stimuli[label], sample_rate)
        reference = next(names) if design.kind == "mushra" else None
        if reference:
            _write_sound(folder, reference, stimuli[REFERENCE], sample_rate)
        trial = f"t{number:03d}"
        trials.append({"id": trial, "reference": reference, "stimuli": sorted(of_system)})
        key[trial] = {"dataset": dataset, "utterance": utterance, "stimuli": of_system}
    *trials, training_trial = trials
    key.pop(f"t{len(trials):03d}")  # nobody scores the training
    needed = _needed(design, len(comparisons))
    _write_page(folder, design, test_id, trials, training_trial, sample_rate, anchors, needed)
    facts = {"format": KEY_FORMAT, "test": test_id, "kind": design.kind, "seed": design.seed, "match_level": design.match_level}
    write_json(out / KEY, {**facts, "effect": design.effect, "power": design.power, "trials": key})
    seconds = [_probed(files[needs[0]][unit]) for unit in chosen]
    long = sum(samples / rate > ADVISED_S for samples, rate in seconds)
    return _told(design, out, len(trials), anchors, needed, long)


def lowpass(samples: np.ndarray, sample_rate: int, cutoff_hz: float) -> np.ndarray:
    """`samples` without what lies above `cutoff_hz`, undelayed, same length: a linear-phase FIR by Kaiser's window."""
    taps, beta = signal.kaiserord(STOP_BAND_DB, STOP_BAND_HZ / (sample_rate / 2))
    window = signal.firwin(taps | 1, cutoff_hz + STOP_BAND_HZ / 2, window=("kaiser", beta), fs=sample_rate)
    return signal.oaconvolve(samples, window, mode="full")[len(window) // 2 :][: len(samples)].astype(np.float32)


def _files(merged: Merged) -> dict[Point, dict[tuple[str, str], Path]]:
    """Of each point, the decoded audio that is there, by (data set, utterance)."""
    files: dict[Point, dict[tuple[str, str], Path]] = {point: {} for point in merged.points}
    for row in with_files(merged.records)[["codec", "point", "dataset", "utterance", "audio_file"]].itertuples(index=False):
        if (row.codec, row.point) in files and (path := Path(row.audio_file)).is_file():
            files[row.codec, row.point][row.dataset, row.utterance] = path
    return files


def _ceiling(merged: Merged, files: Mapping[Point, Mapping[tuple[str, str], Path]]) -> Point | None:
    """The point that holds the originals."""
    return next((point for point in files if merged.codecs[point[0]]["kind"] == "ceiling" and files[point]), None)


def _find(name: str, points: Sequence[Point], where: str) -> Point:
    of_codec = [point for point in points if point[0] == name]
    if len(of_codec) == 1:
        return of_codec[0]
    known = {f"{codec}@{point}": (codec, point) for codec, point in points}
    if name not in known:
        raise UserError(f"{where}: --codecs: {unknown('point', name, ['@'.join(point) for point in of_codec] or known)}")
    return known[name]


def _comparisons(design: Design, points: Sequence[Point], ceiling: Point | None, where: str) -> list[tuple[Point, ...]]:
    """The points that one trial sets side by side: all of them in MUSHRA, else every two; one alone stands against the original."""
    if len(set(points)) < len(points):
        raise UserError("--codecs names a point twice")
    if ceiling is None and (design.kind == "mushra" or len(points) == 1):
        raise UserError(f"{where}: holds no audio of the originals; add the codec `reference` to the suite and run it again")
    if design.kind == "mushra":
        most = MAX_STIMULI - 1 - len(ANCHORS_HZ)
        if len(points) > most:
            raise UserError(
                f"--codecs: {len(points)} points, but a MUSHRA trial takes {most} beside reference and anchors (ITU-R BS.1534-3)"
            )
        if ceiling is not None and ceiling in points:
            raise UserError(f"--codecs: {'@'.join(ceiling)} is in every trial of MUSHRA as it is; leave it out")
        return [tuple(points)]
    if len(points) == 1:
        if points[0] == ceiling:
            raise UserError(f"--codecs: {'@'.join(points[0])} alone is compared with itself; name another point")
        return [(ceiling, points[0])]  # type: ignore[list-item]
    return list(combinations(points, 2))


def _shared(
    files: Mapping[Point, Mapping[tuple[str, str], Path]], needs: Sequence[Point], wanted: int, where: str
) -> list[tuple[str, str]]:
    """The utterances that can be heard at every point of `needs`."""
    silent = ["@".join(point) for point in needs if not files[point]]
    if silent:
        heard = ["@".join(point) for point, found in files.items() if found]
        choices = f"with audio: {', '.join(heard)}" if heard else "no point of it has any; was the audio removed?"
        raise UserError(f"{where}: no audio of {listed(silent, 5)}; {choices}")
    shared = [unit for unit in files[needs[0]] if all(unit in files[point] for point in needs)]
    if len(shared) < wanted:
        raise UserError(f"{where}: --utterances {wanted}, but {len(shared)} have audio at every chosen point; name at most {len(shared)}")
    return sorted(shared)


def _probed(path: Path) -> tuple[int, int]:
    try:
        return audio.probe(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def _read(path: Path, sample_rate: int) -> np.ndarray:
    try:
        return audio.resample(*audio.read(path), sample_rate)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def _anchors(original: Path) -> tuple[int, ...]:
    """Cut-offs below which the originals have more to lose than a filter's edge."""
    sample_rate = _probed(original)[1]
    return tuple(cutoff for cutoff in ANCHORS_HZ if cutoff + STOP_BAND_HZ < sample_rate / 2)


def anchor_name(cutoff_hz: int) -> str:
    """What the key calls an anchor."""
    return f"anchor {cutoff_hz / 1000:g} kHz"


def _stimuli(
    unit: tuple[str, str],
    points: Sequence[Point],
    files: Mapping[Point, Mapping[tuple[str, str], Path]],
    ceiling: Point | None,
    anchors: Sequence[int],
    sample_rate: int,
    design: Design,
) -> dict[str, np.ndarray]:
    """What a trial sets side by side, by the names that the key gives it, float32 [T] of one length, none clipped."""
    original = _read(files[ceiling or points[0]][unit], sample_rate)
    sounds = {"@".join(point): audio.fit_length(_read(files[point][unit], sample_rate), len(original)) for point in points}
    if design.kind == "mushra":
        sounds |= {REFERENCE: original}
        sounds |= {anchor_name(cutoff): lowpass(original, sample_rate, cutoff) for cutoff in anchors}
    if design.match_level:
        level = _rms(original)
        sounds = {name: samples * (level / _rms(samples) if _rms(samples) else 1.0) for name, samples in sounds.items()}
    loudest = max(1.0, *(float(np.abs(samples).max()) for samples in sounds.values()))
    return {name: samples / loudest for name, samples in sounds.items()}


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _identity(design: Design, merged: Merged, units: Sequence[tuple[str, str]], points: Sequence[Point]) -> str:
    heard = merged.records.merge(pd.DataFrame(units, columns=["dataset", "utterance"]).drop_duplicates())
    keys = sorted(heard.loc[[point in points for point in zip(heard["codec"], heard["point"], strict=True)], "key"])
    return hashlib.sha256(json.dumps([str(design), units, keys]).encode()).hexdigest()[:10]


def _check_place(out: Path, test_id: str) -> None:
    """Another test's key is never written over: its results could not be scored any more."""
    if (out / KEY).is_file() and (earlier := read_json(out / KEY, "name another --out").get("test")) != test_id:
        raise UserError(f"{out}: holds the key of another listening test ({earlier}); name another --out")


def _write_sound(folder: Path, name: str, samples: np.ndarray, sample_rate: int) -> None:
    """As a script: a page from the file system may not fetch. WAV, so that all stimuli of a trial are of one size."""
    wave = io.BytesIO()
    soundfile.write(wave, samples, sample_rate, format="WAV", subtype="PCM_16")
    write_text(folder / "audio" / f"{name}.js", script(name, base64.b64encode(wave.getvalue()).decode()))


def _needed(design: Design, comparisons: int) -> str:
    """How many answers the test needs, in a sentence; "" for MUSHRA."""
    if design.kind == "mushra":
        return ""
    needed = needed_trials(design.effect, design.power, two_sided=design.kind == "preference")
    goal = (
        f"right answers in {100 * design.effect:g} %"
        if design.kind == "abx"
        else f"one preferred in {100 * design.effect:g} % of those that have a preference"
    )
    test = "one-sided" if design.kind == "abx" else "two-sided"
    people = math.ceil(needed.trials / design.utterances)
    return (
        f"To find {goal} with a power of {100 * design.power:g} % at the 5 % level ({test} exact binomial test), {needed.trials} answers "
        f"{'to each pair ' if comparisons > 1 else ''}are needed, of which {needed.right} must agree: "
        f"{people} listener{'s' * (people != 1)} with {design.utterances} each."
    )


def _write_page(
    folder: Path,
    design: Design,
    test_id: str,
    trials: Sequence[Mapping[str, object]],
    training: Mapping[str, object],
    sample_rate: int,
    anchors: Sequence[int],
    needed: str,
) -> None:
    scripts = {"core.js": REPORT_ASSETS, "deck.js": REPORT_ASSETS, "test.js": ASSETS}
    styles = {STYLE: REPORT_ASSETS, "test.css": ASSETS}
    for name, place in (scripts | styles).items():
        write_text(folder / "assets" / name, (place / name).read_text(encoding="utf-8"))
    facts = {"id": test_id, "kind": design.kind, "seed": design.seed, "sample_rate": sample_rate}
    write_text(folder / "data/test.js", script("test", {**facts, "trials": trials, "training": training}))
    shown = {
        "id": test_id,
        "kind": design.kind,
        "trials": len(trials),
        "stimuli": len(trials[0]["stimuli"]),  # type: ignore[arg-type]
        "anchors": [f"{cutoff / 1000:g} kHz" for cutoff in anchors],
        "needed": needed,
        "level": "All versions were brought to the same level (RMS)." if design.match_level else "Levels are as the systems left them.",
        "scripts": list(scripts),
        "styles": list(styles),
    }
    write_text(folder / "index.html", rendered(ASSETS / "index.html.j2", **shown))


def _told(design: Design, out: Path, trials: int, anchors: Sequence[int], needed: str, long: int) -> str:
    lines = [
        f"{out / 'page'}: {trials} trials and a training trial; give this folder to listeners, it opens from the file system (index.html)"
    ]
    if design.kind == "mushra":
        low_passes = ", ".join(f"{cutoff / 1000:g} kHz" for cutoff in anchors)
        missing = [f"{cutoff / 1000:g} kHz" for cutoff in ANCHORS_HZ if cutoff not in anchors]
        left_out = f"; none at {' and '.join(missing)}, where the originals end" if missing else ""
        lines.append(
            f"hidden reference, low-pass anchors at {low_passes or 'no frequency'}{left_out}; 20 listeners are usual (ITU-R BS.1534-3)"
        )
    if needed:
        lines.append(needed)
    if long:
        lines.append(f"{long} of the sentences last longer than the {ADVISED_S:g} s that ITU-R BS.1534-3 advises")
    return "\n".join(
        [*lines, f"{out / KEY}: says which is which; keep it to yourself, put the results beside it, then: bench listen --score {out}"]
    )
