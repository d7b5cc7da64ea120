"""Several people in one document, with the unmodified JavaScript client."""

import html

import pytest

ON_ONE_DATABASE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def editors(node, journey, kind: str, seconds: int):
    document = journey.document(kind)
    people = [journey.ann] + [journey.member() for _ in range(4)]
    for person in people[1:]:
        journey.share(document, person, "editor")
    socket = journey.socket(document)
    tokens = [journey.socket(document, person)["token"] for person in people]
    result = node("editors", **socket, tokens=tokens, shape=kind, seconds=seconds, seed=7)
    return result, journey.ann.call("GET", f"/documents/{document}/content", expect=200)


def test_five_editors_a_sixth_and_the_api_agree_on_a_board(node, journey):
    result, content = editors(node, journey, "board", seconds=10)
    assert result["agree"]
    assert content["objects"] == result["contents"]["objects"]
    assert content["version"] > 0
    assert (result["reconnects"], result["returns"]) == (0, 2)
    assert result["edits"] > 500
    assert result["latency"]["p99"] < 200


def test_five_editors_a_sixth_and_the_api_agree_on_a_diagram(node, journey):
    result, content = editors(node, journey, "diagram", seconds=10)
    assert result["agree"]
    assert plain_xml(content["xml"]) == plain_xml(result["contents"]["xml"])
    assert result["latency"]["p99"] < 200


def plain_xml(text: str) -> str:
    """Yjs writes tag names in lower case and escapes nothing."""
    return html.unescape(text).lower()


@ON_ONE_DATABASE
def test_an_idle_client_is_left_in_peace(node, journey):
    """The provider gives up after 30 s of silence; 40 s show that there is none."""
    result = node("idle", **journey.socket(journey.document()), seconds=40)
    assert result == {"reconnects": 0, "closes": [], "synced": True}


@pytest.mark.long
@ON_ONE_DATABASE
def test_an_idle_client_is_left_in_peace_for_two_minutes(node, journey):
    result = node("idle", timeout=200, **journey.socket(journey.document()), seconds=120)
    assert result == {"reconnects": 0, "closes": [], "synced": True}
