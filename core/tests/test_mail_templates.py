"""The words of messages: found by name, replaced by whoever comes later, HTML escaped."""

import jinja2
import pytest
from treenail.core import Core
from treenail.errors import ConfigurationError
from treenail.mail_templates import environment, render
from treenail.plugin import Plugin


@pytest.fixture
def words(tmp_path):
    """Write templates into folders, in the order they are looked through; render one."""

    def write(*folders, values=None, name="oak_hello"):
        paths = []
        for number, files in enumerate(folders):
            paths.append(tmp_path / str(number))
            paths[-1].mkdir()
            for file, text in files.items():
                (paths[-1] / file).write_text(text)
        return render(environment([*paths, Core.mail_templates()]), name, values or {})

    return write


def test_the_first_line_is_the_subject(words):
    found = words({"oak_hello.txt": "Subject: Hello {{ name }}\n\nDear {{ name }},\n\nbye\n"},
                  values={"name": "Ann <3"})  # fmt: skip
    assert (found.subject, found.text) == ("Hello Ann <3", "Dear Ann <3,\n\nbye\n")


def test_without_html_of_its_own_a_text_is_laid_out(words):
    text = "Subject: Hello\nDear {{ name }},\n\nsee https://x.example/?a=1&b=2\n"
    html = words({"oak_hello.txt": text}, values={"name": "<script>"}).html
    assert "<p>Dear &lt;script&gt;,</p>" in html
    assert 'href="https://x.example/?a=1&amp;b=2"' in html
    assert "<title>Hello</title>" in html


def test_html_of_its_own_is_escaped(words):
    files = {"oak_hello.txt": "Subject: Hello\n", "oak_hello.html": "<i>{{ name }}</i>"}
    assert words(files, values={"name": "<b>&"}).html == "<i>&lt;b&gt;&amp;</i>"


def test_html_may_fill_the_layout(words):
    page = '{% extends "layout.html" %}{% block content %}<i>leaf</i>{% endblock %}'
    html = words({"oak_hello.txt": "Subject: Hello\n", "oak_hello.html": page}).html
    assert "<i>leaf</i>" in html
    assert "<!doctype html>" in html


def test_the_first_folder_wins_file_by_file(words):
    first = {"oak_hello.txt": "Subject: First\none\n"}
    second = {"oak_hello.txt": "Subject: Second\n", "layout.html": "<u>{{ text }}</u>"}
    found = words(first, second)
    assert (found.subject, found.html) == ("First", "<u>one\n</u>")


def test_a_name_that_is_missing_is_an_error(words):
    with pytest.raises(jinja2.TemplateError):
        words({"oak_hello.txt": "Subject: {{ nobody }}\n"})


def test_a_template_that_is_missing_is_an_error(words):
    with pytest.raises(jinja2.TemplateNotFound):
        words({}, name="oak_goodbye")


def test_html_that_needs_a_missing_page_is_an_error(words):
    files = {"oak_hello.txt": "Subject: x\n", "oak_hello.html": '{% extends "none.html" %}'}
    with pytest.raises(jinja2.TemplateNotFound, match=r"none\.html"):
        words(files)


def test_a_text_without_subject_is_an_error(words):
    with pytest.raises(ValueError, match="Subject:"):
        words({"oak_hello.txt": "Hello\n"})


def test_a_plugin_without_templates_has_no_folder():
    class Bare(Plugin):
        name, version = "bare", "1.0"

    assert Bare.mail_templates() is None


def test_a_later_plugin_comes_before_an_earlier_one(build, monkeypatch, tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "layout.html").write_text("another layout")

    class Later(Plugin):
        name, version = "later", "1.0"

        @classmethod
        def mail_templates(cls):
            return tmp_path / "words"

    platform = build(Later).extensions["treenail"]
    assert platform.mail_templates.get_template("layout.html").render() == "another layout"


def test_a_folder_that_is_not_there_stops_the_start(build, tmp_path):
    with pytest.raises(ConfigurationError, match="TREENAIL_MAIL_TEMPLATES"):
        build(mail_templates=str(tmp_path / "nowhere"))
