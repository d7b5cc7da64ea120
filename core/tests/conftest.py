"""The core alone: no plugin but the kit's."""

import pytest


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """No plugins."""
    return {"TREENAIL_PLUGINS": ""}
