"""audit alone: it requires the core."""

import pytest


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """audit and nothing else."""
    return {"TREENAIL_PLUGINS": "audit"}
