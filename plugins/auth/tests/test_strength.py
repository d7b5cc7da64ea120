"""Which passwords are refused."""

import threading
import time

import pytest
from treenail.ids import uuid7
from treenail_auth.strength import weakness
from zxcvbn.matching import RANKED_DICTIONARIES

ANN = ("ann.oakley@example.com", "Ann Oakley")


def test_the_commonest_passwords_are_refused():
    commonest = [p for p in RANKED_DICTIONARIES["passwords"] if len(p) >= 8][:3000]
    assert [password for password in commonest if weakness(password) is None] == []


@pytest.mark.parametrize(
    "password", ["ann.oakley@example.com", "AnnOakley", "annoakley1", "yelkaonna", "Ann Oakley12"]
)
def test_a_persons_own_name_and_address_are_refused(password):
    assert weakness(password, *ANN)


@pytest.mark.parametrize("password", ["aaaaaaaaaaaa", "12345678", "qwertyuiop", "p4$$w0rd!1"])
def test_patterns_are_refused(password):
    assert weakness(password).startswith("This password is easy to guess.")


@pytest.mark.parametrize(
    "password", ["demo-treenail", "oak beams", "treenail holds 🪵 timber", "long enough"]
)
def test_words_nobody_puts_together_are_welcome(password):
    assert weakness(password, *ANN) is None


@pytest.mark.parametrize("password", ["4@8({[<369!1|7l0$5+%2" * 4, "(.+)+" * 50, "a" * 256])
def test_no_password_takes_long_to_judge(password):
    began = time.perf_counter()
    weakness(password, *ANN)
    assert time.perf_counter() - began < 1  # zxcvbn alone: 1.5 s and more


def test_people_do_not_share_what_is_known_about_them():
    found = []

    def judge(name):
        for _ in range(50):
            found.append(weakness(f"{name}{name}", name))

    threads = [threading.Thread(target=judge, args=(f"xq{n}zvjw",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400
    assert all(found)


def test_the_answer_names_the_field_and_helps(client):
    body = {"email": f"{uuid7()}@example.com", "password": "password1", "name": "Ann Oak"}
    answer = client.post("/auth/register", body)
    assert (answer.status, list(answer.json["errors"])) == (422, ["password"])
    assert "Add another word" in answer.json["errors"]["password"][0]
