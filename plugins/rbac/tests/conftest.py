"""rbac alone: without auth, principals are injected."""

import pytest


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """Only rbac."""
    return {"TREENAIL_PLUGINS": "rbac"}
