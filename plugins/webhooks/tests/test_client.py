"""Requests go to checked addresses only, and end at their deadline, whatever the receiver does."""

import socket
import ssl
import time
from itertools import chain, repeat

import pytest
from treenail_webhooks.addresses import Guard, Refused
from treenail_webhooks.client import HEAD_BYTES, Client, Unreached
from treenail_webhooks.urls import parse

DEADLINE = 0.5
LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def make_client():
    """A client that resolves as told; nothing private is allowed but what is."""
    made = []

    def make(allowed=LOOPBACK, resolve=lambda host, port: ["127.0.0.1"]) -> Client:
        guard = Guard(allowed, resolve)
        made.append((Client(guard, DEADLINE), guard))
        return made[-1][0]

    yield make
    for client, guard in made:
        client.close()
        guard.close()


def post(client: Client, url: str):
    return client.post(parse(url), {"X-A": "1"}, b"{}")


def test_a_name_that_leads_elsewhere_when_it_is_called_is_refused(receiver, make_client):
    answers = chain([["93.184.216.34"]], repeat(["127.0.0.1"]))
    guard = Guard([], lambda host, port: next(answers))
    assert guard.addresses("rebinding.example", 80, 1) == ["93.184.216.34"]
    client = make_client([], lambda host, port: guard._resolve(host, port))
    with pytest.raises(Unreached, match="address_refused"):
        post(client, f"http://rebinding.example:{receiver.server_port}/")
    guard.close()
    assert receiver.requests == []


def test_one_hostile_address_among_others_refuses_the_name():
    guard = Guard([], lambda host, port: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(Refused):
        guard.addresses("mixed.example", 80, 1)
    guard.close()


def test_it_connects_to_the_address_it_has_checked(receiver, make_client):
    asked = []
    client = make_client(resolve=lambda host, port: asked.append(host) or ["127.0.0.1"])
    for _ in range(3):
        assert post(client, f"http://hooks.example:{receiver.server_port}/").status == 204
    assert asked == ["hooks.example"]  # once a connection, which is kept
    assert {request.client for request in receiver.requests} == {receiver.requests[0].client}
    assert receiver.requests[0].headers["Host"] == f"hooks.example:{receiver.server_port}"


def test_the_next_address_is_tried_when_one_refuses(receiver, make_client):
    client = make_client(resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    assert post(client, f"http://hooks.example:{receiver.server_port}/").status == 204


def test_a_redirect_is_not_followed(receiver, make_client):
    receiver.says(302, Location=f"{receiver.url}/elsewhere")
    assert post(make_client(), f"{receiver.url}/hook").status == 302
    assert [request.path for request in receiver.requests] == ["/hook"]


def drip(handler, begin: bytes, drop: bytes) -> None:
    handler.wfile.write(begin)
    for _ in range(200):
        handler.wfile.write(drop)
        handler.wfile.flush()
        time.sleep(0.02)


DRIPPING = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"1"),
    "status": (b"HTTP/1.1 200 ", b"O"),
    "nothing": (b"", b""),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("what", DRIPPING)
def test_a_dripping_receiver_ends_at_the_deadline(receiver, make_client, what):
    receiver.answers = [lambda handler: drip(handler, *DRIPPING[what])]
    client, began = make_client(), time.monotonic()
    if what in ("body", "chunks"):
        assert post(client, receiver.url + "/").status == 200
    else:
        with pytest.raises(Unreached, match="timeout"):
            post(client, receiver.url + "/")
    assert DEADLINE - 0.05 < time.monotonic() - began < DEADLINE + 0.1


def test_a_name_that_takes_long_ends_at_the_deadline(make_client):
    client = make_client(resolve=lambda host, port: time.sleep(2 * DEADLINE) or ["127.0.0.1"])
    began = time.monotonic()
    with pytest.raises(Unreached, match="unresolved"):
        post(client, "http://slow.example/")
    assert time.monotonic() - began < DEADLINE + 0.1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_accepts_and_says_nothing_ends_at_the_deadline(make_client, scheme):
    client = make_client()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        began = time.monotonic()
        with pytest.raises(Unreached, match="timeout"):
            post(client, f"{scheme}://127.0.0.1:{busy.getsockname()[1]}/")
        assert time.monotonic() - began < DEADLINE + 0.1


def test_of_an_endless_body_the_head_is_read(receiver, make_client):
    def endless(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(b"x" * 65536)

    receiver.answers = [endless]
    began = time.monotonic()
    assert post(make_client(), receiver.url + "/").head is None  # this machine is private
    assert time.monotonic() - began < DEADLINE
    guard = Guard(LOOPBACK, lambda host, port: ["127.0.0.1"])
    guard.is_opened = lambda address: False  # as if it were public
    guard.check = lambda address: None
    client = Client(guard, DEADLINE)
    assert post(client, receiver.url + "/").head == b"x" * HEAD_BYTES
    client.close()
    guard.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed"),
        (b"SSH-2.0-x\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 abc\r\n\r\n", "bad_answer"),
    ],
)
def test_what_is_no_answer_has_a_word(receiver, make_client, answer, reason):
    def say(handler):
        handler.wfile.write(answer)
        handler.close_connection = True

    receiver.answers = [say]
    with pytest.raises(Unreached, match=reason):
        post(make_client(), receiver.url + "/")


def test_a_closed_port_is_refused(make_client):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unreached, match="refused"):
        post(make_client(), f"http://127.0.0.1:{port}/")


def test_a_certificate_that_nobody_vouches_for_is_refused(receiver, make_client, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    with pytest.raises(Unreached, match="tls"):
        post(make_client(), f"https://hooks.example:{receiver.server_port}/")
    assert receiver.requests == []


def test_over_tls_the_certificate_is_the_names(receiver, make_client, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    client = make_client()
    assert post(client, f"https://hooks.example:{receiver.server_port}/").status == 204
    with pytest.raises(Unreached, match="tls"):
        post(client, f"https://other.example:{receiver.server_port}/")
    receiver.answers = [lambda handler: drip(handler, *DRIPPING["headers"])]
    began = time.monotonic()
    with pytest.raises(Unreached, match="timeout"):
        post(client, f"https://hooks.example:{receiver.server_port}/")
    assert time.monotonic() - began < DEADLINE + 0.1
