"""``/audit``: reading the log, which is itself on record."""

from typing import Any

from flask import Blueprint, Response, stream_with_context
from treenail.db import session
from treenail.schemas import shared
from treenail.web import (
    Order,
    Page,
    PageRequest,
    endpoint,
    paginate,
    permission,
    principal,
    recorded,
)

from treenail_audit import formats, records, sealer, verification
from treenail_audit.models import Record
from treenail_audit.schemas import AuditQuery, ExportQuery, RecordSchema, VerdictSchema
from treenail_audit.verification import Verdict

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
reading = recorded(permission("audit:read"))
ORDER = Order("seq", Record.seq)


@blueprint.get("")
@endpoint(reading, query=AuditQuery, answers=RecordSchema, paged=True)
def list_records(query: dict[str, Any], page: PageRequest) -> Page[Any]:
    """What was done in the tenant, and what was refused, the newest first."""
    sealer.seal(_tenant())
    own = session()
    found = paginate(own, records.found(own, query), Record.id, page, ORDER)
    return Page(records.shown(own, found.items), found.next_cursor)


@blueprint.get("/export")
@endpoint(reading, query=ExportQuery, status=200)
def export_records(query: dict[str, Any]) -> Response:
    """The records that fit, oldest first, as lines of JSON or as CSV."""
    sealer.seal(_tenant())
    kind = query.pop("format")
    found = map(shared(RecordSchema).dump, records.export(_tenant(), query))
    name = f'attachment; filename="audit.{kind}"'
    return Response(
        stream_with_context(formats.written(kind, found)),
        content_type=formats.TYPES[kind],
        headers={"Content-Disposition": name},
    )


@blueprint.get("/verify")
@endpoint(reading, answers=VerdictSchema)
def verify_records() -> Verdict:
    """Whether the log is whole, and else where it is first broken."""
    sealer.seal(_tenant())
    return verification.verify(_tenant())


def _tenant() -> str:
    return principal().tenant_id or ""
