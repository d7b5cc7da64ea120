"""workspaces with what it requires."""

import pytest


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """workspaces and rbac."""
    return {"TREENAIL_PLUGINS": "rbac,workspaces"}


@pytest.fixture
def workspace(tenant) -> str:
    """A workspace of the tenant's owner."""
    return tenant.owner.post("/workspaces", {"name": "Joinery"}).json["id"]


@pytest.fixture
def document(tenant, workspace) -> str:
    """A board in the workspace."""
    body = {"title": "Roof", "kind": "board"}
    return tenant.owner.post(f"/workspaces/{workspace}/documents", body).json["id"]
