"""Hashing: a bounded number at a time, and nobody waits for it."""

import os
import threading
import time

import bcrypt
import pytest
from treenail import epochs
from treenail.cli import operators
from treenail.db import system_session
from treenail.ids import uuid7


@pytest.fixture
def during_hashes(monkeypatch):
    """Runs a function whenever bcrypt is about to work."""

    def install(work):
        for name in ("hashpw", "checkpw"):
            slow = getattr(bcrypt, name)
            monkeypatch.setattr(bcrypt, name, lambda *a, slow=slow: (work(), slow(*a))[1])

    return install


def in_threads(work, count=8):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return not any(thread.is_alive() for thread in threads)


def test_others_can_write_while_a_password_is_hashed(app, client, ann, during_hashes):
    written = []

    def write():
        with app.app_context(), system_session("test") as session:
            epochs.touch(session, uuid7())

    during_hashes(lambda: written.append(in_threads(write, 1)))
    body = {"email": ann.email, "password": "long enough", "name": "Ann"}
    client.post("/auth/register", body)
    client.post("/auth/register", body | {"email": f"{uuid7()}@example.com"})
    ann.log_in()
    ann.log_in("wrong password")
    arguments = ["create", "--email", f"{uuid7()}@example.com", "--name", "Olga"]
    app.test_cli_runner().invoke(operators.group, arguments)
    assert written == [True] * 5


def test_no_more_are_hashed_at_once_than_there_are_processors(ann, during_hashes):
    lock, now, most = threading.Lock(), 0, 0

    def count():
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    during_hashes(count)
    assert in_threads(ann.log_in, 3 * (os.cpu_count() or 1))
    assert most == os.cpu_count()
