"""The same records from a Ray cluster: two nodes, none of which sees this machine's files; one is killed on the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.record import failures_of
from bench.run import cluster, session
from bench.run.cluster import RayEngine
from bench.run.session import Options
from bench.suite import load_suite
from tests import test_engine
from tests.toys import comparable

ray = pytest.importorskip("ray", reason="needs ray: pip install 'speech-codec-bench[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    yield made, second
    ray.shutdown()
    made.shutdown()


def scored(folder: Path, engine: Any = None) -> pd.DataFrame:
    suite = load_suite(folder / "suite.yaml")
    name = "local" if engine is None else "ray"
    return session.score(suite, Options(folder / name / "run", jobs=1), Console(quiet=True), engine)


COLUMNS = ["codec", "point", "utterance", "mel_dac_train", "stft_dac", "bits_total", "failures"]


def test_nodes_that_see_no_file_of_this_machine_give_the_same_records(nodes, tmp_path, monkeypatch) -> None:
    suite_file = test_engine.suite_of(tmp_path, "fine", "raises")
    here = scored(suite_file.parent)
    ours = str(tmp_path)

    class Blind(cluster._Actor):
        """An actor on a node without this machine's folder."""

        def __init__(self, *arguments: Any) -> None:
            exists = Path.exists
            Path.exists = lambda self, **how: not str(self).startswith(ours) and exists(self, **how)  # type: ignore[method-assign]
            super().__init__(*arguments)

    monkeypatch.setattr(cluster, "_Actor", Blind)
    there = scored(suite_file.parent, RayEngine("cpu", 1, None, 600.0))
    rows = [comparable(frame)[COLUMNS] for frame in (here, there)]
    pd.testing.assert_frame_equal(*(each.assign(failures=each["failures"].str.replace(r" \[errors.*\]", "", regex=True)) for each in rows))


def test_a_node_that_is_killed_costs_nothing(nodes, tmp_path) -> None:
    made, second = nodes
    suite_file = test_engine.suite_of(tmp_path, "fine")
    suite_file.write_text(suite_file.read_text(encoding="utf-8").replace(", limit: 2", ""), encoding="utf-8")
    here = scored(suite_file.parent)
    killer = threading.Timer(6.0, lambda: made.remove_node(second, allow_graceful=False))
    killer.start()
    there = scored(suite_file.parent, RayEngine("cpu", 1, None, 600.0))
    killer.join()
    assert not any(failures_of(there))
    pd.testing.assert_frame_equal(comparable(here)[COLUMNS], comparable(there)[COLUMNS])


def test_more_jobs_than_the_cluster_has_cores_wait_for_no_core_that_never_comes(nodes, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "_ROOM_S", 5.0)
    suite_file = test_engine.suite_of(tmp_path, "fine")
    engine = RayEngine("cpu", 1, 4, 600.0)
    frame = scored(suite_file.parent, engine)
    assert not any(failures_of(frame))
    assert frame["mel_dac_train"].notna().all()


def test_an_actor_that_dies_or_hangs_costs_only_its_cell(nodes, tmp_path) -> None:
    suite_file = test_engine.suite_of(tmp_path, "fine", "dies")
    frame = scored(suite_file.parent, RayEngine("cpu", 1, None, 600.0))
    assert all("the Ray actor died on it" in reason for reason in test_engine.reasons(frame, "dies"))
    assert frame[frame["point"] == "fine"]["mel_dac_train"].notna().all()


def test_decode_actors_reserve_their_share_of_a_gpu(tmp_path) -> None:
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        engine = RayEngine("cuda", 2, None, 600.0)
        assert engine.accelerated
        options = [dict(member.options) for member in engine._members]
        assert options == [{"num_cpus": 0, "num_gpus": 0.5}] * 4 + [{"num_cpus": 1}] * 2
    finally:
        ray.shutdown()
    time.sleep(0.1)
