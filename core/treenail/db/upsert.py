"""Insert or update in one statement, on both databases."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from treenail.db.base import Model


def upsert(
    session: Session,
    model: type[Model],
    key: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    where: ColumnElement[bool] | None = None,
) -> bool:
    """Insert a row with this key, or apply the changes to the one that has it.

    With ``where`` only if that holds of the present row; returns whether a row was written.
    Raises `treenail.db.guard.TenancyError` for a tenant-owned model in a tenant's session.
    """
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    plain = {k: v for k, v in changes.items() if not hasattr(v, "__clause_element__")}
    fixed = {k: v for k, v in plain.items() if not hasattr(v, "compile")}
    statement = insert(model).values(**key, **fixed)
    statement = statement.on_conflict_do_update(
        index_elements=list(key), set_=dict(changes), where=where
    )
    return session.execute(statement.returning(literal(1))).first() is not None
