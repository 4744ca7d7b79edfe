"""Records laid out as arrays by utterance, point and column: what is resampled together and paired."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis import stats
from bench.record import MetricInfo, detail

Point = tuple[str, str]  # codec label, point name
RATES = ("frame_rate", "token_rate", "bitrate", "nominal_bitrate")  # columns of Record that are amounts per second of audio
HALLUCINATION = 3.0  # errors a word of one utterance: a recogniser that writes three times too much has not misheard but made up
MAX_CLUSTERS = 500  # more are pooled at random: independent clusters stay so, and the cost of resampling stays bounded
_OTHER_DATA = "two points count different words or seconds for one utterance: they were not run on the same data"


@dataclass(frozen=True)
class Grid:
    """Scores and rates aligned by utterance, each as a numerator and a denominator, ready to be resampled and paired.

    points                   P of them
    curves                   P names: the curve that each point lies on, which is its codec's family, or else its codec
    metrics                  those that are resampled by the same clusters
    columns                  M names: metrics, then RATES
    cluster                  int64 [U], what is resampled as a whole: a speaker's utterances, or one whose speaker is unknown
    clustered_by             what clusters are: "speaker", "utterance" where no speaker is known, "speaker or lone utterance" where some are
    numerator, denominator   float64 [U, P, M]; both 0 where there is no value
    hallucinated             bool [U, P, M]: an error rate above HALLUCINATION
    unit, point              int64 [rows]: utterance and point of each record
    """

    points: tuple[Point, ...]
    curves: tuple[str, ...]
    metrics: tuple[str, ...]
    cluster: np.ndarray
    clustered_by: str
    numerator: np.ndarray
    denominator: np.ndarray
    hallucinated: np.ndarray
    unit: np.ndarray
    point: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.metrics, *RATES)

    @property
    def num_clusters(self) -> int:
        return int(self.cluster.max()) + 1

    def at(self, points: Sequence[int], columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Numerators and denominators of some points and columns, [U, len(points), len(columns)]."""
        place = np.ix_(np.arange(len(self.cluster)), np.asarray(points), np.asarray(columns))
        return self.numerator[place], self.denominator[place]

    def sums(self, hallucinations: bool = True) -> stats.ClusterSums:
        """Columns in the order point, then column: [C, P * M]; without `hallucinations`, their errors are left out, their words are not."""
        flat = (len(self.cluster), -1)
        numerator = self.numerator if hallucinations else np.where(self.hallucinated, 0.0, self.numerator)
        return stats.cluster_sums(numerator.reshape(flat), self.denominator.reshape(flat), self.cluster)

    def differences(self, minuends: Sequence[int], subtrahend: int, columns: Sequence[int]) -> stats.ClusterSums:
        """Points `minuends` less one point, over the utterances where both have a value: [C, len(minuends) * len(columns)]."""
        top, bottom = self.at(minuends, columns)
        other_top, other_bottom = self.at([subtrahend], columns)
        both = (bottom > 0) & (other_bottom > 0)
        if not np.allclose(np.where(both, bottom, 0.0), np.where(both, other_bottom, 0.0)):
            raise ValueError(_OTHER_DATA)
        flat = (len(self.cluster), -1)
        numerator, denominator = np.where(both, top - other_top, 0.0), np.where(both, bottom, 0.0)
        return stats.cluster_sums(numerator.reshape(flat), denominator.reshape(flat), self.cluster)

    def beside_mixture(
        self, point: int, mixture: Sequence[int], shares: Sequence[float], columns: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numerators of a point and of the weighted mean of others, and what both are divided by, over the utterances that all have.

        shares    of each of `mixture`, summing to 1
        returns   float64 [U, len(columns)] each; all 0 where any of the points has no value
        """
        top, bottom = self.at([point, *mixture], columns)
        everywhere = np.min(bottom, axis=1) > 0
        if not np.allclose(np.where(everywhere[:, None], bottom, 0.0), np.where(everywhere, bottom[:, 0], 0.0)[:, None]):
            raise ValueError(_OTHER_DATA)
        mixed = np.tensordot(top[:, 1:], np.asarray(shares), axes=(1, 0))
        return tuple(np.where(everywhere, values, 0.0) for values in (top[:, 0], mixed, bottom[:, 0]))  # type: ignore[return-value]


def grid(records: pd.DataFrame, metrics: Mapping[str, MetricInfo], order: Sequence[Point] = (), seed: int = 0) -> Grid:
    """`records` laid out by utterance and point, with one clustering for all metrics; points in `order`, then as they are met."""
    points, unit, point, numerator, denominator = _lay_out(records, metrics, order)
    utterances = records.iloc[np.unique(unit, return_index=True)[1]]
    known = _speakers(utterances) >= 0
    clustered_by = "speaker" if known.all() else "speaker or lone utterance" if known.any() else "utterance"
    limit = np.array([HALLUCINATION * scale_of(metrics[name]) if name in metrics else np.inf for name in (*metrics, *RATES)])
    values = numerator, denominator, stats.divide(numerator, denominator) > limit
    return Grid(points, curve_names(records, points), tuple(metrics), clustering(utterances, seed), clustered_by, *values, unit, point)


def _lay_out(
    records: pd.DataFrame, metrics: Mapping[str, MetricInfo], order: Sequence[Point]
) -> tuple[tuple[Point, ...], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points, the utterance and the point of each record, and numerators and denominators float64 [U, P, M] of metrics and RATES."""
    place, pairs = _codes(records, "codec", "point")
    present = dict.fromkeys(pairs)
    points = tuple(dict.fromkeys([point for point in order if point in present] + list(present)))
    index = {point: number for number, point in enumerate(points)}
    point_code = np.array([index[pair] for pair in pairs])[place]
    unit_code, units = _codes(records, "dataset", "utterance")
    if len(np.unique(unit_code * len(points) + point_code)) < len(records):
        raise ValueError("records hold an utterance twice at one point")

    columns = (*metrics, *RATES)
    numerator = np.zeros((len(units), len(points), len(columns)))
    denominator = np.zeros_like(numerator)
    duration_s = records["duration_s"].to_numpy(np.float64)
    for number, column in enumerate(columns):
        value = floats(records, column)
        if column in RATES:
            top, bottom, counted = value * duration_s, duration_s, value > 0
        elif metrics[column].corpus_ratio:
            top, bottom = scale_of(metrics[column]) * detail(records, column, "errors"), detail(records, column, "words")
            counted = np.isfinite(value) & np.isfinite(top) & (bottom > 0)
        else:
            top, bottom, counted = value, np.ones_like(value), np.isfinite(value)
        numerator[unit_code, point_code, number] = np.where(counted, top, 0.0)
        denominator[unit_code, point_code, number] = np.where(counted, bottom, 0.0)
    return points, unit_code, point_code, numerator, denominator


def curve_names(records: pd.DataFrame, points: Sequence[Point]) -> tuple[str, ...]:
    """The curve of each of `points`: the family of its codec, or else the codec; records of older runs know no family."""
    if "family" not in records:
        return tuple(codec for codec, _ in points)
    known = records.drop_duplicates(["codec", "point"]).set_index(["codec", "point"])["family"].fillna("").astype(str)
    return tuple(known.at[point] or point[0] for point in points)


def scale_of(info: MetricInfo) -> float:
    """What one error a word is in the unit of an error rate; infinite where the metric is none."""
    return math.inf if not info.corpus_ratio else 100.0 if info.unit == "%" else 1.0


def _codes(records: pd.DataFrame, one: str, other: str) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The number of each row's values of two columns, int64 [rows], and these values, as first met."""
    (codes, values), (other_codes, other_values) = (pd.factorize(records[name].astype(str)) for name in (one, other))
    code, together = pd.factorize(codes * len(other_values) + other_codes)
    pairs = zip(*np.divmod(together, max(1, len(other_values))), strict=True)
    return code, [(str(values[first]), str(other_values[second])) for first, second in pairs]


def floats(records: pd.DataFrame, column: str) -> np.ndarray:
    """float64 [rows] of a column; NaN throughout where no record has it (a metric that failed or did not apply everywhere)."""
    if column not in records:
        return np.full(len(records), np.nan)
    return records[column].to_numpy(np.float64, na_value=np.nan)


def clustering(utterances: pd.DataFrame, seed: int) -> np.ndarray:
    """The cluster of each utterance (a row each), int64 [U]: its speaker's; those of unknown speakers stand alone."""
    speaker = _speakers(utterances)
    alone = speaker.max() + 1 + np.arange(len(speaker))
    cluster = np.unique(np.where(speaker >= 0, speaker, alone), return_inverse=True)[1]
    count = int(cluster.max()) + 1
    return np.random.default_rng(seed).permutation(count)[cluster] % MAX_CLUSTERS if count > MAX_CLUSTERS else cluster


def _speakers(utterances: pd.DataFrame) -> np.ndarray:
    """The number of each utterance's speaker, int64 [U]; -1 where unknown."""
    name = utterances["speaker"].fillna("").astype(str)
    return pd.factorize((utterances["dataset"].astype(str) + "\0" + name).where(name != ""))[0]
