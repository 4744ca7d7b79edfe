"""Forced alignment of transcripts by pocketsphinx, whose English model and dictionary are in its package."""

from __future__ import annotations

import re

import numpy as np

# Of its dictionary (ARPAbet without stress); the first is silence, which its two noises count as.
PHONES = [
    "SIL", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N",
    "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
]  # fmt: skip
SAMPLE_RATE = 16000


class Aligner:
    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=SAMPLE_RATE, lm=None, bestpath=False, loglevel="FATAL")

    def align(self, audio: np.ndarray, text: str) -> list[int] | None:
        """Indices into PHONES, 100 a second, of float32 `audio` [T] in which `text` is said.

        None where a word is not in the dictionary or the text can't be what is said.
        """
        words = " ".join(re.findall(r"[a-z']+", text.lower()))
        samples = (np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16).tobytes()
        decoder = self._decoder
        decoder.reinit_feat()
        try:
            decoder.set_align_text(words)
            self._pass(samples)
            decoder.set_alignment()
            self._pass(samples)
        except RuntimeError:  # its only error; the reason is in its log
            return None
        phones: list[int] = []
        for word in decoder.get_alignment():
            for phone in word:
                index = PHONES.index(phone.name) if phone.name in PHONES else 0
                phones += [index] * phone.duration
        return phones or None

    def _pass(self, samples: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(samples, full_utt=True)
        self._decoder.end_utt()
