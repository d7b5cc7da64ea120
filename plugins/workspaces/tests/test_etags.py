"""Entity tags: who writes over something says which version they have seen."""

from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture(params=["workspace", "document"])
def path(request) -> str:
    return f"/{request.param}s/{request.getfixturevalue(request.param)}"


@pytest.fixture
def name(path: str) -> str:
    return "name" if "workspaces" in path else "title"


def test_a_tag_changes_with_what_it_stands_for(tenant, path, name):
    tags = [tenant.owner.get(path).headers["ETag"] for _ in range(2)]
    changed = tenant.owner.patch(path, {name: "Newer"})
    tags += [changed.headers["ETag"], tenant.owner.get(path).headers["ETag"]]
    assert tags[0] == tags[1] != tags[2] == tags[3]
    assert tags[0].startswith('"')


def test_who_has_it_already_gets_304(tenant, path, name):
    tag = tenant.owner.get(path).headers["ETag"]
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = tenant.owner.get(path, headers={"If-None-Match": value})
        assert (answer.status, answer.response.data) == (304, b"")
        assert answer.headers["ETag"] == tag
    tenant.owner.patch(path, {name: "Newer"})
    assert tenant.owner.get(path, headers={"If-None-Match": tag}).json[name] == "Newer"


def test_a_stale_tag_is_412_and_writes_nothing(tenant, path, name):
    stale = tenant.owner.get(path).headers["ETag"]
    tenant.owner.patch(path, {name: "Newer"})
    for value in (stale, f"W/{stale}", "nonsense", ""):
        answer = tenant.owner.patch(path, {name: "Older"}, headers={"If-Match": value})
        assert (answer.status, answer.code) == (412, "precondition_failed")
        assert tenant.owner.delete(path, headers={"If-Match": value}).status == 412
    assert tenant.owner.get(path).json[name] == "Newer"


def test_the_present_tag_lets_it_through(tenant, path, name):
    for value in (tenant.owner.get(path).headers["ETag"], "*"):
        answer = tenant.owner.patch(path, {name: value}, headers={"If-Match": value})
        assert (answer.status, answer.json[name]) == (200, value)
    tag = {"If-Match": answer.headers["ETag"]}
    assert tenant.owner.delete(path, headers=tag).status == 204


def test_of_many_writers_with_one_tag_one_wins(tenant, path, name):
    tag = {"If-Match": tenant.owner.get(path).headers["ETag"]}
    with ThreadPoolExecutor(6) as pool:
        sent = [
            pool.submit(tenant.owner.patch, path, {name: f"No {n}"}, headers=tag) for n in range(6)
        ]
    assert sorted(future.result().status for future in sent) == [200] + [412] * 5


def test_who_may_not_change_it_hears_that_first(tenant, document):
    stranger = tenant.member("member")
    answer = stranger.patch(f"/documents/{document}", {"title": "x"}, headers={"If-Match": '"x"'})
    assert answer.status == 404


def test_an_address_without_tags_matches_none(tenant, workspace):
    bob = tenant.member("member")
    path = f"/workspaces/{workspace}/members/{bob.user_id}"
    answer = tenant.owner.put(path, {"role": "viewer"}, headers={"If-Match": '"x"'})
    assert (answer.status, answer.code) == (412, "precondition_failed")


def test_a_change_sent_again_is_replayed_before_its_tag_is_looked_at(tenant, path, name):
    headers = {"If-Match": tenant.owner.get(path).headers["ETag"], "Idempotency-Key": "k"}
    first, second = (tenant.owner.patch(path, {name: "x"}, headers=headers) for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    assert first.headers["ETag"] == second.headers["ETag"]
