"""gunicorn as ``treenail serve`` sets it, for the Python peers; no access log."""

import gc
import os
import sys
from typing import Any

worker_class = "gthread"
workers = 1
threads = 16
graceful_timeout = 10
keepalive = 30
preload_app = True
forwarded_allow_ips = ""
control_socket_disable = True
loglevel = "warning"
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None


def post_worker_init(worker: Any) -> None:
    """The same settings of the interpreter."""
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
