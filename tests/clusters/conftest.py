"""A cluster of several nodes for tests that take parts of it away."""

import sys
from collections.abc import Iterator

import pytest
from several_nodes import Nodes


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head and two workers, shared by the tests of faults."""
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found in /proc")
    nodes = Nodes()
    yield nodes
    nodes.cluster.shutdown()
