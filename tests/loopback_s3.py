"""An S3-compatible server on this machine's loopback, for tests."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pyarrow import fs

EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Run moto's server on a free port; gives the environment in which `s3://` leads there."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed (extra `test`)")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Its buckets belong to the process, not to the server: those of an earlier one are still there.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.stop()


def make_bucket(name: str) -> str:
    """Make a bucket on the server that the environment leads to; gives its URI."""
    system, path = fs.FileSystem.from_uri(f"s3://{name}?allow_bucket_creation=true")
    system.create_dir(path)
    return f"s3://{name}"


@contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """How often each kind of request (GET, HEAD, …) reaches servers of this process within it."""
    counts: Counter[str] = Counter()

    def count(method: str, query: str) -> None:
        counts[method] += 1

    with _told(count):
        yield counts


@contextmanager
def refusing(wanted: Callable[[str, str], bool]) -> Iterator[None]:
    """Servers of this process answer wanted requests (method, query) as if a token had expired.

    An answer to HEAD has no body to say so in.
    """

    def refuse(method: str, query: str) -> bytes | None:
        if not wanted(method, query):
            return None
        return b"" if method == "HEAD" else EXPIRED

    with _told(refuse):
        yield


@contextmanager
def _told(tell: Callable[[str, str], bytes | None]) -> Iterator[None]:
    """Tell of each request, and answer HTTP 400 with what comes back, if something does."""
    from moto.server import DomainDispatcherApplication

    answer = DomainDispatcherApplication.__call__

    def call(self: Any, environ: dict[str, Any], start: Any) -> Any:
        body = tell(environ["REQUEST_METHOD"], environ.get("QUERY_STRING", ""))
        if body is None:
            return answer(self, environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start("400 Bad Request", [("Content-Length", str(len(body)))])
        return [body]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DomainDispatcherApplication, "__call__", call)
        yield
