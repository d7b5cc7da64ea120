"""The database: models, sessions bound to a tenant, and the guard that keeps them there."""

from treenail.db.base import Global, Identified, Model, Tenanted, tenant_foreign_key
from treenail.db.plans import Plan, Row, Runs
from treenail.db.reads import SystemReads
from treenail.db.sealed import Sealed
from treenail.db.sessions import (
    SystemSession,
    TenantSession,
    bind_tenant,
    db,
    plans,
    session,
    system_session,
    tenant_session,
)
from treenail.db.types import Timestamp, uuid_type

__all__ = [
    "Global",
    "Identified",
    "Model",
    "Plan",
    "Row",
    "Runs",
    "Sealed",
    "SystemReads",
    "SystemSession",
    "TenantSession",
    "Tenanted",
    "Timestamp",
    "bind_tenant",
    "db",
    "plans",
    "session",
    "system_session",
    "tenant_foreign_key",
    "tenant_session",
    "uuid_type",
]
