"""Regenerates the bundled corpus beside this file with the synthesisers `flite` and `espeak-ng`: python -m bench.corpus.make_corpus."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench import audio

SAMPLE_RATE = 16_000
LEVEL_DB = -23.0  # RMS over the utterance, relative to full scale
PEAK = 0.9
# Digital silence exists in no recording, and log-spectral metrics blow up on it: the pauses hold a faint noise instead.
NOISE_DB = -72.0

# Speaker -> (language, command). flite gives 16 kHz, espeak-ng 22.05 kHz.
VOICES = {
    "flite-rms": ("en", ["flite", "-voice", "rms"]),
    "flite-slt": ("en", ["flite", "-voice", "slt"]),
    "flite-awb": ("en", ["flite", "-voice", "awb"]),
    "flite-kal16": ("en", ["flite", "-voice", "kal16"]),
    "espeak-de-m3": ("de", ["espeak-ng", "-v", "de+m3", "-s", "150"]),
    "espeak-de-f2": ("de", ["espeak-ng", "-v", "de+f2", "-s", "145"]),
    "espeak-fr-m1": ("fr", ["espeak-ng", "-v", "fr+m1", "-s", "150"]),
    "espeak-fr-f4": ("fr", ["espeak-ng", "-v", "fr+f4", "-s", "145"]),
    "espeak-es-m7": ("es", ["espeak-ng", "-v", "es+m7", "-s", "150"]),
    "espeak-es-f3": ("es", ["espeak-ng", "-v", "es+f3", "-s", "145"]),
    "espeak-it-m2": ("it", ["espeak-ng", "-v", "it+m2", "-s", "150"]),
    "espeak-it-f5": ("it", ["espeak-ng", "-v", "it+f5", "-s", "145"]),
    "espeak-pl-m4": ("pl", ["espeak-ng", "-v", "pl+m4", "-s", "150"]),
    "espeak-pl-f1": ("pl", ["espeak-ng", "-v", "pl+f1", "-s", "145"]),
}

# (speaker, sentence); "<0.8>" is a pause of 0.8 s. Written for this corpus.
SENTENCES = [
    (
        "flite-rms",
        "The train leaves the station at seven in the morning and it comes back late in the evening, after ten hours on the road.",
    ),
    ("flite-rms", "She bought some bread <0.7> and a bottle of milk on her way home."),
    ("flite-rms", "We moved the blue boat slowly through the cool and shallow pool."),
    ("flite-rms", "Please send the letter to my brother before the end of the week."),
    ("flite-slt", "Most of the children were playing in the garden behind the old house."),
    ("flite-slt", "He thought for a long time <1.0> and then he said no."),
    ("flite-slt", "A small dog was waiting in front of the open door."),
    ("flite-slt", "Fresh fish is sold near the harbor every Friday."),
    ("flite-awb", "Five people waited in the rain for the last bus to the city."),
    ("flite-awb", "The teacher asked the class to read the third page again."),
    ("flite-awb", "Good morning <0.8> how are you feeling today? <1.2> I hope that you are feeling a little better."),
    ("flite-awb", "It was too dark to see the river from the top of the hill."),
    ("flite-kal16", "They usually have coffee and cake on Sunday afternoon."),
    ("flite-kal16", "The meeting was short <0.6> because nobody had any questions."),
    ("flite-kal16", "Both of us know that the journey will be very long and hard."),
    ("espeak-de-m3", "Der Zug nach Norden fährt heute eine halbe Stunde später ab."),
    ("espeak-de-f2", "Im Garten hinter dem Haus <0.8> blühen schon die ersten Rosen."),
    ("espeak-de-m3", "Wir suchen eine schöne Wohnung in der Nähe der Schule."),
    ("espeak-fr-m1", "La boulangerie du coin ouvre tous les matins à six heures."),
    ("espeak-fr-f4", "Je voudrais un verre d'eau <0.7> et une tarte aux pommes, s'il vous plaît."),
    ("espeak-fr-m1", "Le vieux pont de pierre traverse une rivière large et calme."),
    ("espeak-es-m7", "Mañana por la tarde vamos a caminar por la playa."),
    ("espeak-es-f3", "El perro duerme en la puerta <0.9> y el gato mira por la ventana."),
    ("espeak-es-m7", "Mi hermana trabaja en una librería cerca de la plaza mayor."),
    ("espeak-it-m2", "Ogni domenica mangiamo tutti insieme a casa della nonna."),
    ("espeak-it-f5", "Il treno è in ritardo <0.8> ma il caffè della stazione è molto buono."),
    ("espeak-it-m2", "Le luci della città si vedono bene dalla cima della collina."),
    ("espeak-pl-m4", "Wczoraj padał deszcz, więc zostaliśmy w domu."),
    ("espeak-pl-f1", "Szukam książki <0.7> którą czytałem w zeszłym tygodniu."),
    ("espeak-pl-m4", "Nad jeziorem było cicho i bardzo zimno."),
]

PAUSE = re.compile(r"\s*<([0-9.]+)>\s*")


def synthesise(command: list[str], phrase: str) -> np.ndarray:
    """Audio float32 [T] at SAMPLE_RATE of one phrase."""
    with tempfile.TemporaryDirectory() as folder:
        wav = str(Path(folder) / "phrase.wav")
        output = ["-t", phrase, "-o", wav] if command[0] == "flite" else ["-w", wav, phrase]
        subprocess.run([*command, *output], check=True)
        samples, sample_rate = audio.read(wav)
    return audio.resample(samples, sample_rate, SAMPLE_RATE)


def utterance(command: list[str], sentence: str, rng: np.random.Generator) -> np.ndarray:
    """Audio float32 [T] of a sentence with its pauses, at LEVEL_DB, over a noise floor of NOISE_DB."""
    parts: list[np.ndarray] = []
    for index, piece in enumerate(PAUSE.split(sentence)):
        parts.append(np.zeros(round(float(piece) * SAMPLE_RATE), np.float32) if index % 2 else synthesise(command, piece))
    speech = np.concatenate(parts)
    gain = min(10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(speech**2)), PEAK / np.abs(speech).max())
    return (gain * speech + 10 ** (NOISE_DB / 20) * rng.standard_normal(len(speech))).astype(np.float32)


def make_corpus(folder: Path) -> None:
    """Writes audio/*.flac and manifest.jsonl into `folder`."""
    lines = []
    for number, (speaker, sentence) in enumerate(SENTENCES, start=1):
        language, command = VOICES[speaker]
        samples = utterance(command, sentence, np.random.default_rng(number))
        name = f"{language}-{number:02d}"
        audio.write(folder / "audio" / f"{name}.flac", samples, SAMPLE_RATE)
        row: dict[str, object] = {"id": name, "path": f"audio/{name}.flac", "text": PAUSE.sub(" ", sentence)}
        row |= {"speaker": speaker, "language": language}
        row |= {"duration_s": round(len(samples) / SAMPLE_RATE, 3), "sample_rate": SAMPLE_RATE}
        lines.append(json.dumps(row, ensure_ascii=False))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make_corpus(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
