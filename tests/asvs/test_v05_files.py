"""V5: files."""

from __future__ import annotations

import pytest

OUTSIDE = [
    "../../setup.cfg",
    "..%2f..%2fsetup.cfg",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5csetup.cfg",
    "....//....//etc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "swagger-ui.css%00.html",
    ".",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_v5_3_2_no_name_leads_out_of_the_folder(client, name):
    answer = client.get(f"/docs/{name}")
    assert (answer.status, answer.code) == (404, "not_found")
