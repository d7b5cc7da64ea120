"""The whole way over real sockets."""

from treenail.ids import uuid7


def test_register_log_in_refresh_and_log_out(server):
    body = {"email": f"{uuid7()}@example.com", "password": "🌳 long enough 🌳", "name": "Ann"}
    assert server.call("POST", "/auth/register", body)[0] == 201
    del body["name"]
    status, pair = server.call("POST", "/auth/login", body)
    assert status == 200
    status, pair = server.call("POST", "/auth/refresh", {"refreshToken": pair["refreshToken"]})
    assert status == 200
    token = pair["accessToken"]
    assert server.call("GET", "/me", token=token)[1]["user"]["email"] == body["email"]
    assert server.call("POST", "/auth/logout", token=token)[0] == 204
    assert server.call("GET", "/me", token=token)[0] == 401
    refused = server.call("POST", "/auth/refresh", {"refreshToken": pair["refreshToken"]})
    assert refused[0] == 401
    assert token not in server.log.read_text()
    assert "long enough" not in server.log.read_text()
