"""Fetches what suites/published_samples.yaml is of, recordings of published demo pages: `bench fetch published_samples`.

Each file is named by repository, commit and path. The audio stays with whoever fetched it: the licence of a page is rarely stated.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import audio
from bench.errors import UserError
from bench.files import disk_errors, write_bytes, write_text

NAME = "published_samples"  # of the suite, and of the folder that it takes the files from
HOST = "https://raw.githubusercontent.com"
REPOSITORY, COMMIT = "flexicodec/flexicodec.github.io", "c4f8fe8d78"
ORIGINALS = {  # by sample rate, Hz
    16000: "impact_of_low_frame_rate/dac12hz/{number:05d}_0q.wav",
    24000: "other_codec_audios/official_encodec/{number:05d}_0q.wav",
}


@dataclass(frozen=True)
class Samples:
    """One operating point of a page. `bitrate_kbps` and `frame_rate_hz` as the page states them."""

    system: str
    point: str
    kind: str
    path: str
    frame_rate_hz: float
    bitrate_kbps: float
    n_q: int


SAMPLES = (
    Samples("FlexiCodec", "12.5hz_1q", "dynamic", "impact_of_low_frame_rate/flexicodec_12hz/{number:05d}_1q.wav", 12.5, 0.23, 1),
    Samples("FlexiCodec", "12.5hz_8q", "dynamic", "impact_of_low_frame_rate/flexicodec_12hz/{number:05d}_8q.wav", 12.5, 1.3, 8),
    Samples("FlexiCodec", "8.3hz_1q", "dynamic", "impact_of_low_frame_rate/flexicodec_8hz/{number:05d}_1q.wav", 8.3, 0.15, 1),
    Samples("FlexiCodec", "8.3hz_8q", "dynamic", "impact_of_low_frame_rate/flexicodec_8hz/{number:05d}_8q.wav", 8.3, 0.85, 8),
    Samples("FlexiCodec", "6.25hz_1q", "dynamic", "impact_of_low_frame_rate/flexicodec_6hz/{number:05d}_1q.wav", 6.25, 0.11, 1),
    Samples("FlexiCodec", "6.25hz_8q", "dynamic", "impact_of_low_frame_rate/flexicodec_6hz/{number:05d}_8q.wav", 6.25, 0.64, 8),
    Samples("EnCodec", "1.5kbps", "fixed", "other_codec_audios/official_encodec/{number:05d}_2q.wav", 75.0, 1.5, 2),
    Samples("EnCodec", "6kbps", "fixed", "other_codec_audios/official_encodec/{number:05d}_8q.wav", 75.0, 6.0, 8),
    Samples("Mimi", "2q", "fixed", "other_codec_audios/official_mimi/{number:05d}_2q.wav", 12.5, 0.275, 2),  # not stated: 2 of 8 codebooks
    Samples("Mimi", "8q", "fixed", "other_codec_audios/official_mimi/{number:05d}_8q.wav", 12.5, 1.1, 8),
)
# LibriSpeech test-clean, in the page's order.
UTTERANCES = (
    (
        "8455-210777-0069",
        "if you will give us your promise to meet captain battleax here at this time to morrow we will stretch a point and "
        "delay the departure of the john bright for twenty four hours",
    ),
    (
        "3570-5695-0002",
        "but as we descend the social scale the point is presently reached where the duties of vicarious leisure and "
        "consumption devolve upon the wife alone",
    ),
    ("1089-134686-0010", "well now ennis i declare you have a head and so has my stick"),
    ("237-134493-0011", "how brown you've got since you came home i wish i had an athlete to mow my orchard"),
    ("4446-2273-0023", "the strange woman and her passionate sentence that rang out so sharply had frightened them both"),
    (
        "8455-210777-0034",
        "not a doubt but had your force been only double or treble our own i should have found it my duty to struggle with you",
    ),
    (
        "8555-284447-0013",
        "why you said to fetch the first living creature we met and that was this billygoat replied the captain panting "
        "hard as he held fast to one of the goat's horns",
    ),
    ("3570-5695-0000", "in a general way though not wholly nor consistently these two groups coincide"),
    (
        "4446-2275-0000",
        "the stop at queenstown the tedious passage up the mersey were things that he noted dimly through his growing impatience",
    ),
    ("1089-134691-0014", "the phrase and the day and the scene harmonized in a chord"),
    (
        "6829-68771-0008",
        "these women were flattered by the attention of the young lady and had promised to assist in electing mister forbes",
    ),
    (
        "3575-170457-0020",
        "i know the first letter i wrote to you was all senseless trash from beginning to end but i am not altogether the "
        "idle dreaming being it would seem to denote",
    ),
    ("2094-142345-0051", "no thank you i'll just look at the whelps and leave a message about them with your shepherd"),
    ("7176-92135-0041", "re enter butler and three footmen who remove the tea things hostess to guest"),
    (
        "8463-294825-0003",
        "nemo builds a fabulous futuristic submarine the nautilus then conducts an underwater campaign of vengeance against "
        "his imperialist oppressor",
    ),
)


def fetch(folder: Path, host: str = HOST) -> None:
    """Audio, manifest.jsonl (originals) and recordings.jsonl in `folder`; what is there is kept. UserError where a file does not come."""
    manifest, recordings = [], []
    for number, (id, text) in enumerate(UTTERANCES):
        path = _fetched(folder, host, ORIGINALS[16000].format(number=number))
        speaker = f"librispeech-{id.partition('-')[0]}"
        manifest.append({"id": id, "path": path, "text": text, "speaker": speaker, "language": "en", "source": _source(path)})
        recordings += list(_recordings(folder, host, number, id))
    for name, rows in (("manifest.jsonl", manifest), ("recordings.jsonl", recordings)):
        write_text(folder / name, "".join(json.dumps(row) + "\n" for row in rows))


def _recordings(folder: Path, host: str, number: int, id: str) -> Iterator[dict[str, Any]]:
    """Of one utterance, each with the original of its own sample rate, cut where the recording ends."""
    for each in SAMPLES:
        path = _fetched(folder, host, each.path.format(number=number))
        length, sample_rate = audio.probe(folder / path)
        reference = f"references/{sample_rate}/{length}/{number:05d}.wav"
        if not (folder / reference).exists():
            original, _ = audio.read(folder / _fetched(folder, host, ORIGINALS[sample_rate].format(number=number)))
            audio.write(folder / reference, audio.fit_length(original, length), sample_rate)
        facts = {name: getattr(each, name) for name in ("system", "kind", "frame_rate_hz", "bitrate_kbps", "n_q")}
        yield {"id": id, "variant": each.point, "path": path, "reference": reference, **facts, "source": _source(path)}


def _source(path: str) -> str:
    return f"{REPOSITORY}@{COMMIT}:{path}"


def _fetched(folder: Path, host: str, path: str) -> str:
    """`path`, once the file lies there."""
    if not (folder / path).exists():
        url = f"{host}/{REPOSITORY}/{COMMIT}/{path}"
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                content = response.read()
        except OSError as error:
            raise UserError(f"{url} can not be fetched: {error}; what has come is kept, and the next call goes on") from None
        with disk_errors(folder / path):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / path, content)
    return path
