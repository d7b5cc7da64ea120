"""How long does it take to verify a log? Promised: 1,000,000 records within 5 s."""

import argparse
import json
import sys
import time
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast

from sqlalchemy import Table
from treenail import migrate
from treenail.app import create_app
from treenail.contributions import Act
from treenail.db import db, system_session
from treenail.testing.callers import make_tenant
from treenail_audit import inbox, sealer, verification
from treenail_audit.models import Waiting

PROMISED_SECONDS = 5.0
BATCH = 1000
INBOX = cast(Table, Waiting.__table__)


def act(tenant_id: str, n: int) -> Act:
    """A change as requests make them."""
    return Act(
        tenant_id=tenant_id,
        actor_id=f"01890a5d-ac96-774b-bcce-{n % 50:012d}",
        action="document:create",
        resource_type="document",
        resource_id=f"01890a5d-ac96-774b-bcce-{n:012d}",
        method="POST",
        route="/api/v1/workspaces/<id:workspace_id>/documents",
        outcome="success",
        status=200,
        code=None,
        request_id=f"01890a5d-ac96-774b-bccf-{n:012d}",
        ip="192.0.2.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        arguments={"workspace_id": "01890a5d-ac96-774b-bcce-b302099a8057"},
        fields=("title", "kind"),
        events=[("document.created", f"01890a5d-ac96-774b-bcce-{n:012d}")],
    )


def fill(tenant_id: str, records: int) -> None:
    """Seal so many, a thousand at a time."""
    for first in range(0, records, BATCH):
        acts = (act(tenant_id, n) for n in range(first, min(first + BATCH, records)))
        rows = [inbox.row(each) | {"tenant_id": tenant_id} for each in acts]
        with system_session("bench") as session:
            session.put_rows(INBOX, rows)
        sealer.seal(tenant_id)


def main() -> None:
    """Measure; exit 1 when a promise isn't kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as data:
        environ = {"TREENAIL_DATA": data, "TREENAIL_PLUGINS": "audit"}
        app = create_app(environ, check_database=False)
        with app.app_context():
            migrate.upgrade(app.extensions["treenail"].registry)
            tenant_id = make_tenant(app).id
            began = time.perf_counter()
            fill(tenant_id, options.records)
            filled = time.perf_counter() - began
            rounds = [_verified(tenant_id, options.records) for _ in range(3)]
            db.engine.dispose()
    found = {"records": options.records, "sealedPerSecond": round(options.records / filled)}
    seconds, of_cpu = (median(each) for each in zip(*rounds, strict=True))
    found |= {"verifySeconds": round(seconds, 2), "verifyCpuSeconds": round(of_cpu, 2)}
    print(json.dumps(found) if options.json else found)
    sys.exit(seconds > PROMISED_SECONDS * max(1, options.records / 1_000_000))


def _verified(tenant_id: str, records: int) -> tuple[float, float]:
    """Seconds by the clock, and of the processor: alone on a machine they are the same."""
    began, used = time.perf_counter(), time.process_time()
    verdict = verification.verify(tenant_id)
    if not verdict.valid or verdict.checked != records:
        raise RuntimeError(f"not what was written: {verdict}")
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
