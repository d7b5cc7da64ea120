"""Settings: what is accepted, what stops the start, and who wins."""

from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from marshmallow import fields as kinds
from treenail import secrets, settings
from treenail.errors import ConfigurationError
from treenail.plugin import Plugin
from treenail.settings import CoreSettings, Section, setting

CONTRACT = {
    "DATABASE_URL": "postgresql+psycopg://app@db/treenail",
    "MIGRATION_DATABASE_URL": "postgresql+psycopg://owner@db/treenail",
    "REDIS_URL": "redis://cache:6379/0",
    "PLUGINS": "auth,rbac",
    "SECRET_KEY": "s" * 40,
    "ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
    "PUBLIC_URL": "https://app.example.com",
    "CORS_ORIGINS": "https://a.example.com, https://b.example.com",
    "TRUSTED_PROXIES": "10.0.0.0/8",
    "RATE_LIMITS": "off",
    "ON_PLUGIN_ERROR": "skip",
    "PROVISIONING_KEY": "knock-knock",
    "SMTP_URL": "smtp://user:word@mail:587",
    "DATA": "/srv/treenail",
}
SECRET = {"DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL", "SECRET_KEY"} | {
    "ENCRYPTION_KEYS",
    "PROVISIONING_KEY",
    "SMTP_URL",
}


def core(*plugins: str, **environ: str) -> CoreSettings:
    return settings.read({f"TREENAIL_{k}": v for k, v in environ.items()}).core(plugins)


@pytest.mark.parametrize("key", CONTRACT)
def test_every_key_of_the_contract_is_accepted(key: str):
    assert getattr(core(**{key: CONTRACT[key]}), key.lower()) not in (None, "", ())


def test_values_are_read_as_what_they_are():
    found = core(RATE_LIMITS="off", CORS_ORIGINS="https://a, https://b,", THREADS="8", PLUGINS="")
    assert found.rate_limits is False
    assert found.cors_origins == ("https://a", "https://b")
    assert (found.threads, found.plugins) == (8, ())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ENV", "staging"),
        ("RATE_LIMITS", "perhaps"),
        ("THREADS", "many"),
        ("THREADS", "0"),
        ("SECRET_KEY", "short"),
        ("PUBLIC_URL", "app.example.com"),
        ("ON_PLUGIN_ERROR", "ignore"),
        ("DATABASE_URL", "mysql://db/x"),
        ("DATABASE_URL", "postgresql://db/x"),
        ("DATABASE_URL", "word@db"),
        ("REDIS_URL", "http://cache"),
        ("SMTP_URL", "mail:25"),
    ],
)
def test_a_wrong_value_is_named_but_not_repeated(key: str, value: str):
    with pytest.raises(ConfigurationError, match=f"^TREENAIL_{key}: .*[.]$") as error:
        core(**{key: value})
    assert "\n" not in str(error.value)
    assert key not in SECRET or value not in str(error.value)


def test_an_unknown_key_is_named():
    with pytest.raises(ConfigurationError, match=r"^unknown setting TREENAIL_SECRET_KEYS$"):
        core(SECRET_KEYS="x" * 40)


def test_keys_of_tests_and_of_installed_plugins_are_passed_over():
    core("oak", TEST_SERVICES="1", OAK_HEIGHT="40", CONFIG="")
    with pytest.raises(ConfigurationError, match="TREENAIL_ELM_HEIGHT"):
        core("oak", ELM_HEIGHT="40")


def _file(folder: Path, text: str) -> str:
    path = folder / "treenail.toml"
    path.write_text(text)
    return str(path)


def test_a_file_is_read_and_the_environment_wins(tmp_path: Path):
    path = _file(tmp_path, 'threads = 4\nplugins = ["auth"]\nlog_level = "ERROR"\n')
    found = core(CONFIG=path, THREADS="9")
    assert (found.threads, found.plugins, found.log_level) == (9, ("auth",), "ERROR")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("thread = 4", "unknown setting thread in .*treenail.toml"),
        ('threads = "x"', "threads in .*treenail.toml: "),
        ("plugins = 4", "plugins in .*: Not a list"),
        ("threads =", "TREENAIL_CONFIG: .*treenail.toml: "),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        core(CONFIG=_file(tmp_path, text))


def test_an_absent_file_is_named():
    with pytest.raises(ConfigurationError, match=r"TREENAIL_CONFIG: /nowhere.toml"):
        core(CONFIG="/nowhere.toml")


@dataclass(frozen=True)
class OakSettings(Section):
    height: int = setting(kinds.Int(strict=False), 10, "metres")
    ring: str = setting(kinds.Str(), "", "of keys", secret=True)


class Oak(Plugin):
    name = "oak"
    version = "1.0"
    settings_class = OakSettings


class OakTree(Plugin):
    name = "oak_tree"
    version = "1.0"
    settings_class = OakSettings


def test_the_longest_plugin_name_takes_the_key(build):
    app = build(Oak, OakTree, oak_height="1", oak_tree_height="2")
    plugins = app.extensions["treenail"].registry.plugins
    assert [plugins[n].settings.height for n in ("oak", "oak_tree")] == [1, 2]


def test_a_table_of_the_file_is_a_plugins(tmp_path: Path, build):
    app = build(Oak, config=_file(tmp_path, "[oak]\nheight = 3\n"))
    assert app.extensions["treenail"].registry.plugins["oak"].settings.height == 3


@pytest.mark.parametrize("key", ["oak_width", "oak_height"])
def test_a_plugins_wrong_key_stops_the_start(build, key: str):
    with pytest.raises(ConfigurationError, match=f"TREENAIL_{key.upper()}"):
        build(Oak, **{key: "tall"})


def test_secrets_are_in_no_repr(tmp_path: Path):
    raw = settings.read({f"TREENAIL_{key}": value for key, value in CONTRACT.items()})
    shown = repr(raw) + repr(raw.core([])) + repr(OakSettings(ring="hush"))
    assert "hush" not in shown
    assert not [key for key in SECRET if CONTRACT[key] in shown]


def test_every_setting_says_what_it_is_for():
    assert all(field.metadata["doc"] for field in fields(CoreSettings))


def test_a_secret_is_made_once_in_development(tmp_path: Path):
    first, second = (secrets.complete(core(DATA=str(tmp_path))) for _ in range(2))
    assert len(first.secret_key) >= 32
    assert first == second
    kept = tmp_path / "secrets"
    assert {path.name for path in kept.iterdir()} == {"secret_key", "encryption_keys"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (kept, *kept.iterdir()))


@pytest.mark.parametrize("key", ["SECRET_KEY", "ENCRYPTION_KEYS"])
def test_production_asks_for_every_secret(tmp_path: Path, key: str):
    given = {k: CONTRACT[k] for k in ("SECRET_KEY", "ENCRYPTION_KEYS") if k != key}
    with pytest.raises(ConfigurationError, match=f"TREENAIL_{key} is required in production"):
        secrets.complete(core(DATA=str(tmp_path), ENV="production", **given))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ring", ["k1", "k1:short", "k1:AAAA", ",", f"clé:{'A' * 43}="])
def test_a_wrong_key_ring_is_named(tmp_path: Path, ring: str):
    with pytest.raises(ConfigurationError, match=r"^TREENAIL_ENCRYPTION_KEYS: "):
        secrets.complete(core(DATA=str(tmp_path), ENCRYPTION_KEYS=ring))


def test_a_database_that_does_not_answer_is_one_line(build):
    address = "postgresql+psycopg://app:hush@127.0.0.1:1/none"
    with pytest.raises(ConfigurationError, match="the database doesn't answer: ") as error:
        build(database_url=address)
    assert "hush" not in str(error.value)
    assert "\n" not in str(error.value)
