"""The table of docs/security.md and the tests say the same."""

from __future__ import annotations

import re
from pathlib import Path

from program import ROOT

LISTED = re.findall(
    r"\S+",
    """
1.2.4 1.3.1 1.3.6 1.5.1 2.2.1 2.3.1 2.3.3 2.4.1 3.3.1 3.3.2 3.3.4 3.4.1 3.4.2 3.4.4 3.4.6 3.5.1
3.5.2 3.5.3 4.1.3 4.4.2 4.4.3 5.3.2 5.4.1 6.1.1 6.2.1 6.2.3 6.2.4 6.2.5 6.2.8 6.2.9 6.2.12 6.3.1
6.3.2 6.3.3 6.3.4 6.3.8 6.4.1 6.4.3 6.5.1 6.5.2 6.5.5 6.6.2 6.6.3 6.8.1 6.8.2 6.8.3 6.8.4 7.2.3
7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.5 7.5.1 7.5.2 8.1.1 8.2.1 8.2.2 8.2.3 8.3.1 8.3.2 8.4.1
9.1.1 9.1.2 9.1.3 9.2.1 9.2.2 9.2.3 10.1.2 10.2.1 10.2.2 10.4.5 10.4.8 10.5.1 10.5.2 10.5.3 10.5.4
11.2.2 11.3.2 11.3.3 11.4.2 11.5.1 13.3.1 13.4.2 13.4.5 14.2.1 14.3.2 15.3.1 15.3.3 15.3.4 16.2.5
16.3.1 16.3.2 16.3.3 16.4.1 16.4.2 16.5.1 16.5.3
""",
)
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = dict(re.findall(r"^\| (\d+\.\d+\.\d+) \| [123] \| [^|]+ \| ([^|]+) \|$", PAGE, re.M))
NUMBERED = re.compile(r"v(\d+)_(\d+)_(\d+)")


def names_in(*folders: str) -> set[str]:
    files = [path for folder in folders for path in Path(ROOT).glob(f"{folder}/test_*.py")]
    return {
        name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }


def test_every_requirement_has_a_test_named_after_it_or_a_reason():
    assert list(ROWS) == LISTED
    for number, shown in ROWS.items():
        own = "v" + number.replace(".", "_") + "_"
        named = re.findall(r"`(test_\w+)`", shown)
        assert own in " ".join(named) or shown.startswith("Not yet: "), number


def test_every_test_that_is_named_exists():
    there = names_in("tests", "tests/asvs", "core/tests", "plugins/*/tests")
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - there == set()


def test_every_test_stands_in_its_rows():
    for name in names_in("tests/asvs"):
        for number in NUMBERED.findall(name):
            assert f"`{name}`" in ROWS[".".join(number)], name
