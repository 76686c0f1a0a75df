"""A network that fails between us and S3: asked again, told, and after the last attempt one sentence names the file."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampler.bins.build import build_bins
from sampler.bins.manifests import open_bins, verify_bins
from sampler.bins.remote_store import PIECE, RemoteStore
from sampler.bins.retries import RetryPolicy
from sampler.mixture import Mixture
from sampler.prepare import prepare
from sampler.published import list_shards
from sampler.tokenizer.model import tokenizer_for
from sampler.tokenizer.training import TokenizerConfig
from tamis.errors import TamisError
from tests.support.flaky_proxy import Fault, Proxy, flaky_proxy
from tests.support.moto_server import ask, free_port, moto_server, uri
from tests.support.sampler_run import SMALL, write_run

DATA = np.random.default_rng(1).bytes(3 << 20)
QUICK = RetryPolicy(attempts=5, seconds=1.0, pause=0.01)
READS = [
    Fault("delay", 3.0),
    Fault("status", 500),
    Fault("status", 503),
    Fault("reset"),
    Fault("cut"),
    Fault("status", 503, method="HEAD"),
    Fault("delay", 3.0, method="HEAD"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with moto_server() as port:
        assert ask(port, "PUT", "/bucket")[0] == ask(port, "PUT", "/bucket/a/data.bin", DATA)[0] == 200
        yield port


@pytest.fixture
def proxy(server: int) -> Iterator[Proxy]:
    with flaky_proxy(server) as running:
        yield running


@pytest.fixture
def store(proxy: Proxy, tmp_path: Path) -> RemoteStore:
    return RemoteStore(uri(proxy.port, "bucket/a"), QUICK, tmp_path / "cache")


def again(fault: Fault, times: int) -> list[Fault]:
    return [Fault(fault.kind, fault.value, fault.method, fault.name, times)]


def label(fault: Fault) -> str:
    return f"{fault.method}-{fault.kind}-{fault.value:g}"


@pytest.mark.parametrize("fault", READS, ids=label)
def test_a_read_is_tried_again_and_told(
    proxy: Proxy, store: RemoteStore, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    proxy.faults = again(fault, 2)
    with caplog.at_level(logging.WARNING, "tamis.sampler"):
        assert store.read("data.bin", 1000, 1 << 20).tobytes() == DATA[1000 : 1000 + (1 << 20)]
    assert proxy.met == [fault.kind] * 2 and store.retries == 2
    told = [record.getMessage() for record in caplog.records]
    assert [message.rpartition("; ")[2] for message in told] == ["attempt 2 of 5 follows", "attempt 3 of 5 follows"]
    assert all(message.startswith("s3://bucket/a/data.bin: ") for message in told)


@pytest.mark.parametrize("fault", READS, ids=label)
def test_after_the_last_attempt_one_sentence_names_the_file(
    proxy: Proxy, store: RemoteStore, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    proxy.faults = again(fault, 100)
    store.policy = RetryPolicy(attempts=3, seconds=0.5, pause=0.01)
    with caplog.at_level(logging.WARNING, "tamis.sampler"), pytest.raises(TamisError) as found:
        store.read("data.bin", 0, 1 << 20)
    message = str(found.value)
    assert message.startswith("s3://bucket/a/data.bin: cannot be read in 3 attempts (") and "\n" not in message
    assert len(caplog.records) == store.retries == 2 and len(proxy.met) == 3


def test_an_answer_that_is_shorter_than_it_should_be_is_found_by_its_check(
    proxy: Proxy, store: RemoteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Arrow gives a buffer of the length asked for, filled in part: the store cannot see it, whoever has a sum can."""
    proxy.faults = [Fault("short")]
    wanted = DATA[5 : 5 + (1 << 20)]
    assert store.read("data.bin", 5, 1 << 20, lambda data: data.tobytes() == wanted).tobytes() == wanted
    assert proxy.met == ["short"] and store.retries == 1 and "came damaged" in caplog.text
    proxy.faults = [Fault("short")]
    assert store.map("data.bin", len(DATA), hashlib.sha256(DATA).hexdigest()).tobytes() == DATA
    assert store.retries == 2


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    store = RemoteStore(uri(free_port(), "bucket/a"), RetryPolicy(attempts=2, seconds=1, pause=0.01), tmp_path)
    for ask_for in (store.size, store.read_all):
        with pytest.raises(TamisError, match=r"s3://bucket/a/data\.bin: cannot be read in 2 attempts \(.*connect"):
            ask_for("data.bin")
    with pytest.raises(TamisError, match=r"data\.bin: cannot be written in 2 attempts"):
        store.write("data.bin", b"new")


@pytest.mark.parametrize(
    ("method", "kind"), [("POST", "delay"), ("POST", "status"), ("POST", "cut"), ("PUT", "delay"), ("PUT", "status")]
)
def test_uploads_too(proxy: Proxy, store: RemoteStore, server: int, tmp_path: Path, method: str, kind: Any) -> None:
    """Three requests each: begun, a part, completed; the answer to a part has no body to cut."""
    proxy.faults = [Fault(kind, 503 if kind == "status" else 3.0, method)]
    store.write("small", b"few bytes")
    assert proxy.met == [kind] and store.retries == 1
    assert ask(server, "GET", "/bucket/a/small")[1] == b"few bytes"
    local, data = tmp_path / "local", DATA * 4  # more than a part
    local.write_bytes(data)
    proxy.faults = [Fault("status", 500, method)]
    store.put(local, "large")
    assert not local.exists() and store.retries == 2
    assert ask(server, "GET", "/bucket/a/large")[1] == data


def test_a_range_is_one_request_and_a_failure_costs_a_piece(proxy: Proxy, store: RemoteStore) -> None:
    for start in (0, 10, 20):
        store.read("data.bin", start, 10)
    assert [request.split()[0] for request in proxy.requests] == ["HEAD", "GET", "GET", "GET"]
    data = DATA * 6
    assert ask(proxy.upstream, "PUT", "/bucket/a/long.bin", data)[0] == 200
    proxy.requests.clear()
    assert store.read("long.bin", 5, len(data) - 5).tobytes() == data[5:]
    assert len(proxy.requests) == 1 + -(-len(data) // PIECE) == 4
    proxy.requests.clear()
    proxy.faults = [Fault("reset")]
    assert store.map("long.bin", len(data)).tobytes() == data
    assert len(proxy.requests) == 3 + 2 and store.retries == 1  # opened and asked once more
    proxy.requests.clear()
    assert store.map("long.bin", len(data)).tobytes() == data and not proxy.requests


def test_bins_built_and_streamed_through_it(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every ninth request of whatever kind fails."""
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))
    run = write_run(tmp_path / "run")
    tokenizer = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
    build_bins(run, tokenizer, str(tmp_path / "bins"))
    place = uri(proxy.port, "bucket/flaky", deadline=1, attempts=6)
    calm = proxy.next_fault
    quick = [Fault("status", 503), Fault("reset"), Fault("cut"), Fault("status", 500)]
    kinds = iter([*quick, Fault("delay", 1.5), *quick, *quick] * 100)

    def every_ninth(method: str, path: str) -> Fault | None:
        calm(method, path)
        if len(proxy.requests) % 9:
            return None
        proxy.met.append("some")
        return next(kinds)

    monkeypatch.setattr(proxy, "next_fault", every_ninth)
    build_bins(run, tokenizer, place)
    assert verify_bins(open_bins(place)) == verify_bins(open_bins(str(tmp_path / "bins")))
    proxy.faults = [Fault("short", name="/en/en-00001.bin"), Fault("short", name="/zh/zh-00000.idx")]
    monkeypatch.setattr(proxy, "next_fault", calm)
    assert verify_bins(open_bins(place)) == verify_bins(open_bins(str(tmp_path / "bins")))
    assert proxy.met[-2:] == ["short"] * 2
    monkeypatch.setattr(proxy, "next_fault", every_ninth)
    mixture: dict[str, Any] = {"domains": "*", "sequence_length": 64, "seed": 3, "shuffle_block_tokens": 512}
    here, there = (prepare(run, Mixture(**mixture, bins=p)).stream for p in (str(tmp_path / "bins"), place))
    for start in range(0, 64, 16):
        one, other = here.batch(start, start + 16), there.batch(start, start + 16)
        assert np.asarray(one.tokens).tobytes() == np.asarray(other.tokens).tobytes()
    assert len(proxy.met) > 10 and len(caplog.records) > 10


def _read(store: RemoteStore) -> None:
    assert store.read("data.bin", 7, 100).tobytes() == DATA[7:107]
    os._exit(42)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_has_a_client_of_its_own(store: RemoteStore, method: str) -> None:
    store.read("data.bin", 0, 100)
    assert pickle.loads(pickle.dumps(store)).read("data.bin", 0, 5).tobytes() == DATA[:5]
    process = multiprocessing.get_context(method).Process(target=_read, args=(store,))  # type: ignore[attr-defined]
    process.start()
    process.join(60)
    assert process.exitcode == 42


def test_a_process_ends_though_a_read_hangs(proxy: Proxy, tmp_path: Path) -> None:
    proxy.faults = [Fault("delay", 120.0, times=100)]
    script = (
        "import sys\nfrom pathlib import Path\nfrom sampler.bins.remote_store import RemoteStore\n"
        "RemoteStore(sys.argv[1], cache=Path(sys.argv[2])).read('data.bin', 0, 10)\n"
    )
    place = uri(proxy.port, "bucket/a", attempts=2, deadline=0.5)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, place, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "cannot be read in 2 attempts" in done.stderr and done.returncode == 1, done
    assert time.monotonic() - start < 30
