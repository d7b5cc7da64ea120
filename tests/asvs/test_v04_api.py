"""V4: the API and its sockets."""

from __future__ import annotations

import websocket

FORGED = ("X-User-Id", "X-Forwarded-User", "X-Remote-User", "X-Roles", "X-Original-URL")


def test_v4_1_3_no_header_makes_one_somebody_else(app, client, tenant, other_tenant):
    headers = dict.fromkeys(FORGED, tenant.owner.user_id)
    assert client.get("/me", headers=headers).status == 401
    answer = other_tenant.owner.get("/me", headers={**headers, "X-Tenant-Id": tenant.id})
    assert answer.status == 404
    user = other_tenant.owner.get("/me", headers=headers).json["user"]
    assert user["id"] == other_tenant.owner.user_id
    spoofed = {"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1"}
    peer = {"REMOTE_ADDR": "203.0.113.9"}
    assert client.get("//metrics", headers=spoofed, environ_overrides=peer).status == 401


def opened(socket: dict[str, str], token: str, origin: str | None = None) -> int | None:
    """None when a document was sent, else the code the socket was closed with."""
    url = f"{socket['base']}/{socket['room']}?token={token}"
    client = websocket.create_connection(url, timeout=5, origin=origin, suppress_origin=not origin)
    try:
        opcode, data = client.recv_data(control_frame=True)
        closed = opcode == websocket.ABNF.OPCODE_CLOSE
        return int.from_bytes(data[:2], "big") if closed else None
    finally:
        client.shutdown()


def test_v4_4_2_a_page_of_another_origin_opens_no_socket(journey, server):
    socket = journey.socket(journey.document())
    assert opened(socket, socket["token"], server.url) is None
    assert opened(socket, socket["token"], "https://evil.example") == 4403


def test_v4_4_3_a_socket_has_a_token_of_its_own_that_ends_with_the_session(journey):
    document, bob = journey.document(), journey.member()
    journey.share(document, bob, "editor")
    socket, other = journey.socket(document, bob), journey.socket(journey.document())
    assert opened(socket, socket["token"]) is None
    assert opened(socket, bob.token) == 4401  # an access token is not one
    assert opened(socket, other["token"]) == 4403  # for one document alone
    assert journey.server.call("GET", "/me", token=socket["token"])[0] == 401
    bob.call("POST", "/auth/logout")
    assert opened(socket, socket["token"]) == 4401
