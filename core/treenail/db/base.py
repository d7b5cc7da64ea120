"""What every model is: tenant-owned or global, never unmarked."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, MetaData, Table, event
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Mapper,
    declared_attr,
    mapped_column,
    registry,
)

from treenail.db.types import Timestamp, uuid_type
from treenail.ids import uuid7

CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


tenanted_tables: dict[str, Table] = {}
"""Tables whose rows belong to tenants, by name: a table can be spoken of without its `Table`."""
walled_tables: dict[str, str] = {}
"""The column that says whose a row is, by table: those with row-level security (wall 4)."""


class Model(DeclarativeBase):
    """Base of all tables; a concrete model also takes `Tenanted` or `Global`."""

    # A registry of its own: Flask-SQLAlchemy derives a base from this one.
    registry = registry(
        metadata=MetaData(naming_convention=CONVENTION),
        type_annotation_map={datetime: Timestamp, dict[str, Any]: JSON, list[str]: JSON},
    )


class Identified:
    """A primary key made here: UUIDv7, known before the row is flushed."""

    id: Mapped[str] = mapped_column(uuid_type(), primary_key=True, default=uuid7)


class Global:
    """A model whose rows belong to no tenant.

    Where a row still tells of one tenant (the tenant itself, an event), ``__tenant_column__``
    names the column that says which: PostgreSQL then shows the row to nobody else.
    """

    __tenant_column__: ClassVar[str | None] = None


class Tenanted:
    """A model whose rows each belong to one tenant; sessions see only their own."""

    __tenant_column__: ClassVar[str | None] = "tenant_id"

    @declared_attr
    def tenant_id(cls) -> Mapped[str]:  # noqa: N805  called on the class
        """The owner; filled in by the session."""
        return mapped_column(uuid_type(), ForeignKey("core_tenants.id", ondelete="CASCADE"))


def tenant_foreign_key(
    column: str, target: str, *, ondelete: str | None = "CASCADE"
) -> ForeignKeyConstraint:
    """A reference that can't leave the tenant (wall 3): ``(tenant_id, column)``.

    The target table has a unique constraint over ``(tenant_id, id)``.
    """
    return ForeignKeyConstraint(
        ["tenant_id", column], [f"{target}.tenant_id", f"{target}.id"], ondelete=ondelete
    )


@event.listens_for(Model, "init", propagate=True)
def _give_identity(target: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # Sealed columns are bound to the row's id, so it exists before the first flush.
    if isinstance(target, Identified):
        target.id = kwargs.get("id") or uuid7()


@event.listens_for(Mapper, "after_mapper_constructed")
def _mark_table(mapper: Mapper[Any], cls: type[Any]) -> None:
    table = mapper.local_table
    if isinstance(table, Table) and issubclass(cls, Tenanted):
        tenanted_tables[table.name] = table
    if isinstance(table, Table) and (column := getattr(cls, "__tenant_column__", None)):
        walled_tables[table.name] = column


def unmarked_models() -> Iterator[type[Any]]:
    """Models that are neither tenant-owned nor global, or claim to be both."""
    for mapper in Model.registry.mappers:
        if issubclass(mapper.class_, Tenanted) == issubclass(mapper.class_, Global):
            yield mapper.class_


def escaping_references() -> Iterator[str]:
    """Foreign keys between tenant-owned tables that don't carry the tenant (wall 3)."""
    for table in Model.metadata.tables.values():
        for constraint in table.foreign_key_constraints:
            # By name: the table meant may be of a plugin that is not loaded.
            target = constraint.elements[0].target_fullname.rpartition(".")[0]
            both = {table.name, target} <= tenanted_tables.keys()
            if both and "tenant_id" not in constraint.column_keys:
                yield f"{table.name}({', '.join(constraint.column_keys)})"
