"""Clients that mean harm: they are sent away, the others notice nothing."""

from __future__ import annotations

import socket as sockets
import struct
import subprocess
import threading
import time
from urllib.parse import urlsplit

import pytest
import websocket
from journey import Journey
from pycrdt import Doc, Map

MIB = 1 << 20
FRAMES = {
    "nothing": b"",
    "garbage": b"\xde\xad\xbe\xef" * 8,
    "a truncated sync": b"\x00",
    "a length that lies": b"\x00\x02\xff\xff\xff\xff\x0f",
    "a bad state vector": b"\x00\x00\x05\xff\xff\xff\xff\xff",
    "a truncated update": b"\x00\x02\x05\x01\x01\x07\x00\x04",
    "a huge count": b"\x00\x02\x0a\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f",
    "awareness that isn't JSON": b"\x01\x08\x01\x07\x01\x04{oop",
    "an endless varint": b"\x00\x02" + b"\xff" * 30,
}


class Honest:
    """A client that edits, and sees what others do."""

    def __init__(self, client: websocket.WebSocket) -> None:
        self.socket = client
        self.doc = Doc()
        self.objects = self.doc.get("objects", type=Map)

    def edit(self, key: str) -> None:
        before = self.doc.get_state()
        self.objects[key] = "x"
        update = self.doc.get_update(before)
        self.socket.send_binary(b"\x00\x02" + varint(len(update)) + update)

    def sees(self, key: str, within: float = 2) -> bool:
        deadline = time.monotonic() + within
        while key not in self.objects and time.monotonic() < deadline:
            message = self.socket.recv()
            if message[:2] in (b"\x00\x02", b"\x00\x01"):
                self.doc.apply_update(message[2 + len(varint(read_varint(message[2:]))) :])
        return key in self.objects


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def read_varint(data: bytes) -> int:
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return value


def url(journey: Journey, document: str) -> str:
    found = journey.socket(document)
    return f"{found['base']}/{document}?token={found['token']}"


@pytest.fixture
def connect(journey):
    """Open sockets on documents; closed with the test."""
    opened = []

    def open_one(document: str) -> websocket.WebSocket:
        opened.append(websocket.create_connection(url(journey, document), timeout=10))
        return opened[-1]

    yield open_one
    for client in opened:
        client.shutdown()


@pytest.fixture
def pair(journey, connect):
    """A document with two honest clients in it."""
    document = journey.document()
    return document, Honest(connect(document)), Honest(connect(document))


def assert_unharmed(first: Honest, second: Honest, key: str) -> None:
    first.edit(key)
    assert second.sees(key)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_malformed_message_harms_its_sender_alone(connect, pair, frame):
    document, first, second = pair
    hostile = connect(document)
    hostile.send_binary(frame)
    code = close_code(hostile)
    assert code in (1002, 1003, 1007, 1009), code
    assert_unharmed(first, second, "still")


def close_code(client: websocket.WebSocket) -> int | None:
    while True:
        opcode, data = client.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2], "big")


def test_a_message_of_100_mb_is_refused_unread(connect, pair, server):
    document, first, second = pair
    before = memory(server)
    hostile = connect(document)
    head = struct.pack("!BBQ4s", 0x82, 0xFF, 100 * MIB, b"\0\0\0\0")
    threading.Thread(target=pour, args=(hostile.sock, head), daemon=True).start()
    assert close_code(hostile) == 1009
    assert_unharmed(first, second, "still")
    assert memory(server) - before < 32 * MIB


def pour(sock: sockets.socket, head: bytes) -> None:
    try:
        sock.sendall(head)
        for _ in range(100):
            sock.sendall(bytes(MIB))
    except OSError:
        pass  # as it should


def test_a_reader_that_never_reads_slows_nobody(journey, pair, server):
    document, first, second = pair
    parts = urlsplit(url(journey, document))
    lazy = sockets.create_connection((parts.hostname, parts.port))
    lazy.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\n{key}"
    lazy.sendall(
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n".encode()
    )
    before = memory(server)
    for number in range(200):
        first.edit(f"{number}-{'x' * 20_000}")
        if number % 20 == 0:
            assert second.sees(f"{number}-{'x' * 20_000}")
    assert_unharmed(first, second, "still")
    assert memory(server) - before < 64 * MIB
    lazy.close()


def memory(server) -> int:
    """Resident bytes of the server's processes."""
    tree = subprocess.run(
        ["ps", "-o", "rss=", "--pid", f"{server.pid}", "--ppid", f"{server.pid}"],
        capture_output=True,
        check=True,
    )
    return sum(int(line) for line in tree.stdout.split()) * 1024
