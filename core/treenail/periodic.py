"""Periodic tasks: each run by one process at a time, chosen by a lease in the database."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from treenail import platform
from treenail.clock import utcnow
from treenail.contributions import PeriodicTask
from treenail.db import Global, Model, system_session
from treenail.db.upsert import upsert

log = structlog.get_logger("treenail.periodic")


class PeriodicRun(Global, Model):
    """When a periodic task may run next."""

    __tablename__ = "core_periodic_runs"
    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    next_at: Mapped[datetime]


def run_due() -> int:
    """Run what is due; returns how many ran. A failing task is logged and runs next time."""
    ran = 0
    for name, task in platform.current().periodic_tasks.items():
        if _is_wanted(name, task) and _take(name, task):
            ran += 1
            began = utcnow()
            try:
                task.run()
            except Exception:
                log.exception("periodic_task_failed", task=name)
            with system_session("periodic") as session:
                upsert(session, PeriodicRun, {"name": name}, {"next_at": _next(task, began)})
    return ran


def _is_wanted(name: str, task: PeriodicTask) -> bool:
    """A failing answer is logged and counts as no."""
    try:
        return task.wanted is None or task.wanted()
    except Exception:
        log.exception("periodic_task_failed", task=name)
        return False


def _take(name: str, task: PeriodicTask) -> bool:
    """Whether this process is the one to run it now; nobody else is until the lease ends."""
    now = utcnow()
    with system_session("periodic", read_only=True) as session:
        due = session.scalar(select(PeriodicRun.next_at).where(PeriodicRun.name == name))
    if due is not None and due > now:
        return False
    with system_session("periodic") as session:
        end = max(_next(task, now), now + timedelta(seconds=task.lease))
        free = PeriodicRun.next_at <= now
        return upsert(session, PeriodicRun, {"name": name}, {"next_at": end}, where=free)


def _next(task: PeriodicTask, began: datetime) -> datetime:
    return began + timedelta(seconds=task.seconds)
