"""Who may have a document open, and for how long."""

import time_machine
from treenail.clock import utcnow
from treenail.crypto import sign
from treenail.ids import uuid7


def test_presence_carries_the_identity_the_server_knows(node, journey):
    document, bob = journey.document(), journey.member()
    journey.share(document, bob, "editor")
    socket = journey.socket(document)
    tokens = [socket["token"], journey.socket(document, bob)["token"]]
    users = [{"name": "Mallory", "id": bob.id, "color": "#a52"}, {"name": "Eve", "color": "#25a"}]
    seen = node("awareness", **socket, tokens=tokens, users=users)
    assert (seen["met"], seen["moved"], seen["left"]) == (True, True, True)
    assert seen["seenBySecond"] == {"id": journey.ann.id, "name": "Ann Oak", "color": "#a52"}
    assert seen["seenByFirst"] == {"id": bob.id, "name": "Bob Elm", "color": "#25a"}


def test_a_viewer_changes_nothing_and_sees_everything(node, journey):
    document, viewer = journey.document(), journey.member()
    journey.share(document, viewer, "viewer")
    socket = journey.socket(document)
    tokens = {"editor": socket["token"], "watcher": journey.socket(document)["token"]}
    tokens["viewer"] = journey.socket(document, viewer)["token"]
    result = node("viewer", base=socket["base"], room=document, **tokens)
    assert (result["viewerChangesSeen"], result["viewerChangesStored"]) == (0, 0)
    assert result["viewerSeesEditor"]
    content = journey.ann.call("GET", f"/documents/{document}/content", expect=200)
    assert not [key for key in content["objects"] if "viewer" in key]


def probe(node, socket, token, room=None, **more):
    url = f"{socket['base']}/{room or socket['room']}?token={token}"
    return node("probe", url=url, seconds=1, **more)


def test_bad_expired_and_foreign_tokens_see_no_byte(node, journey, server):
    document = journey.document()
    socket = journey.socket(document)
    secret = server.secret_key
    claims = {"user": journey.ann.id, "session": uuid7(), "tenant": journey.tenant}
    other = journey.document()
    refused = {
        "": 4401,
        "garbage": 4401,
        socket["token"][:-3] + "xyz": 4401,
        sign("another deployment's secret" * 2, "collab", claims | {"document": document}): 4401,
        sign(secret, "mail", claims | {"document": document}): 4401,
        sign(secret, "collab", claims | {"document": document}): 4401,  # no such session
        expired(secret, claims | {"document": document}): 4401,
        journey.socket(other)["token"]: 4403,
    }
    for token, code in refused.items():
        result = probe(node, socket, token)
        assert (result["opened"], result["closeCode"], result["bytes"]) == (True, code, 0), token


def expired(secret: str, claims: dict[str, str]) -> str:
    with time_machine.travel(utcnow().timestamp() - 601):
        return sign(secret, "collab", claims)


def test_a_token_may_come_as_subprotocol(node, journey):
    socket = journey.socket(journey.document())
    url = f"{socket['base']}/{socket['room']}"
    result = node("probe", url=url, protocols=[socket["token"]], seconds=1)
    assert (result["opened"], result["closeCode"]) == (True, None)
    assert result["protocol"] == socket["token"]


def test_a_foreign_origin_is_turned_away(node, journey):
    socket = journey.socket(journey.document())
    foreign = probe(node, socket, socket["token"], origin="https://evil.example")
    assert (foreign["closeCode"], foreign["bytes"]) == (4403, 0)
    own = socket["base"].replace("ws://", "http://").partition("/api")[0]
    assert probe(node, socket, socket["token"], origin=own)["closeCode"] is None


def test_somebody_of_another_tenant_finds_nothing(node, journey):
    document, eve = journey.document(), journey.register("Eve")
    eve.call("POST", "/tenants", {"name": "Elm Ltd"}, 201)
    for method, path, body in (
        ("GET", f"/documents/{document}", None),
        ("PATCH", f"/documents/{document}", {"title": "x"}),
        ("DELETE", f"/documents/{document}", None),
        ("GET", f"/documents/{document}/content", None),
        ("POST", f"/documents/{document}/collab-token", {}),
        ("GET", f"/documents/{document}/grants", None),
        ("GET", f"/workspaces/{journey.workspace}", None),
        ("GET", f"/workspaces/{journey.workspace}/documents", None),
        ("GET", f"/tenants/{journey.tenant}/members", None),
    ):
        assert eve.call(method, path, body) == 404, path


def test_somebody_of_another_tenant_sees_no_byte_even_with_a_token_well_signed(
    node, journey, server
):
    document, eve = journey.document(), journey.register("Eve")
    own = eve.call("POST", "/tenants", {"name": "Elm Ltd"}, 201)["id"]
    session = eve.call("GET", "/me/sessions", expect=200)["items"][0]["id"]
    for tenant in (own, journey.tenant):
        claims = {"user": eve.id, "session": session, "tenant": tenant, "document": document}
        token = sign(server.secret_key, "collab", claims)
        result = probe(node, journey.socket(document), token)
        assert (result["closeCode"], result["bytes"]) == (4403, 0), tenant


def test_logging_out_ends_the_sockets(journey, node, revoked_within):
    document, bob = journey.document(), journey.member()
    journey.share(document, bob, "editor")
    act = lambda: bob.call("POST", "/auth/logout")  # noqa: E731
    assert revoked_within(journey.socket(document, bob), act) == (4401, True)


def test_a_removed_member_is_cut_off(journey, revoked_within):
    document, bob = journey.document(), journey.member()
    journey.share(document, bob, "editor")
    path = f"/tenants/{journey.tenant}/members/{bob.id}"
    act = lambda: journey.ann.call("DELETE", path)  # noqa: E731
    assert revoked_within(journey.socket(document, bob), act) == (4403, True)


def test_a_withdrawn_grant_and_a_deleted_document_cut_off(journey, revoked_within):
    document, bob = journey.document(), journey.member()
    journey.share(document, bob, "viewer")
    path = f"/documents/{document}/grants/{bob.id}"
    act = lambda: journey.ann.call("DELETE", path)  # noqa: E731
    assert revoked_within(journey.socket(document, bob), act) == (4403, True)
    act = lambda: journey.ann.call("DELETE", f"/documents/{document}")  # noqa: E731
    assert revoked_within(journey.socket(document), act) == (4403, True)
