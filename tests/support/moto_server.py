"""moto's S3 server in a process of its own, on a free port of this machine."""

from __future__ import annotations

import http.client
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

AWAY = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy")
HERE = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}

SIGNED = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@contextmanager
def moto_server() -> Iterator[int]:
    """Runs the server; gives its port. Credentials are in the environment, as they are where a client runs."""
    for name in ("moto", "flask", "flask_cors"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}, of the dev extra")
    with pytest.MonkeyPatch.context() as environment:
        for name in AWAY:
            environment.delenv(name, raising=False)
        for name, value in HERE.items():
            environment.setenv(name, value)
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "no_proxy": "*"}
        )
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request without a client: status and body. It is signed, in a way; moto looks no closer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {"Authorization": SIGNED})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def uri(port: int, place: str, **settings: object) -> str:
    """`s3://place` on the server that listens on a port."""
    query = {"endpoint_override": f"127.0.0.1:{port}", "scheme": "http", "region": "us-east-1", **settings}
    return f"s3://{place}?" + "&".join(f"{name}={value}" for name, value in query.items())


def _wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            ask(port, "GET", "/")
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"moto's server does not answer (exit code {process.poll()})")
