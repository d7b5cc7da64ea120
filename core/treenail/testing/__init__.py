"""The testing kit: what a plugin's tests need, the same for ours and a stranger's.

Installing treenail-core gives pytest these fixtures (`treenail.testing.fixtures`): ``app``,
``client``, ``tenant``, ``captured_events``, ``run_tasks``, and ``plugins`` and ``environ`` to
override. An app context is never held around client calls: two requests of two tenants would
share one session.
"""

from treenail.testing.callers import Answer, Caller, Client, TestTenant
from treenail.testing.databases import make_tables
from treenail.testing.server import LiveServer

__all__ = ["Answer", "Caller", "Client", "LiveServer", "TestTenant", "make_tables"]
