"""Settings: typed sections read from ``TREENAIL_*`` variables or a TOML file, validated at start.

A section is a frozen dataclass whose attributes are made with `setting`; the core has one
and each plugin may have one. ``TREENAIL_<KEY>`` belongs to the core,
``TREENAIL_<PLUGIN>_<KEY>`` to a plugin. The environment wins over the file.
"""

import dataclasses
import hashlib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar, cast

from marshmallow import Schema, ValidationError, fields, validate

from treenail.errors import ConfigurationError
from treenail.rates import Rate

PREFIX = "TREENAIL_"
ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://[^\s/?#@*A-Z]+")


def setting(kind: fields.Field[Any], default: Any, doc: str, *, secret: bool = False) -> Any:
    """An attribute of a section: how it is read, its default and what it is for."""
    return field(default=default, repr=not secret, metadata={"field": kind, "doc": doc})


@dataclass(frozen=True)
class Section:
    """Base of all sections; empty, for a plugin without settings."""


S = TypeVar("S", bound=Section)


class List(fields.Field[tuple[str, ...]]):
    """A comma-separated list (a real one in TOML)."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValidationError("Not a list of words.")
        return tuple(item.strip() for item in items if item.strip())


class Origins(List):
    """Origins as browsers send them: scheme, host and port, nothing after."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> tuple[str, ...]:
        found = super()._deserialize(value, attr, data, **kwargs)
        if not all(ORIGIN.fullmatch(origin) for origin in found):
            raise ValidationError("Not a list of origins such as https://app.example.com.")
        return found


class Networks(List):
    """Addresses or networks (CIDR)."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> tuple[str, ...]:
        found = super()._deserialize(value, attr, data, **kwargs)
        try:
            return tuple(str(ip_network(network, strict=False)) for network in found)
        except ValueError:
            raise ValidationError("Not a list of addresses or networks.") from None


class Rates(fields.Field[Rate]):
    """So many calls in so long."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Rate:
        try:
            return Rate.parse(str(value))
        except ValueError:
            raise ValidationError("Not a rate such as 600/minute.") from None


class Switch(fields.Boolean):
    """``on`` or ``off``."""


class Address(fields.String):
    """A URL of one of the schemes, or nothing; never repeated in a message: it has a password."""

    def __init__(self, *schemes: str) -> None:
        super().__init__(validate=self._check)
        self.schemes = schemes

    def _check(self, value: str) -> None:
        scheme, separator, rest = value.partition("://")
        if value and not (separator and rest and scheme in self.schemes):
            raise ValidationError(f"Not a URL that begins with {' or '.join(self.schemes)}.")


class Folder(fields.String):
    """A folder that exists, or nothing."""

    def __init__(self) -> None:
        super().__init__(validate=self._check)

    def _check(self, value: str) -> None:
        if value and not Path(value).is_dir():
            raise ValidationError("There is no such folder.")


@dataclass(frozen=True)
class CoreSettings(Section):
    """What the core itself can be told; the names are part of the public contract."""

    data: str = setting(fields.Str(), "var", "folder of everything Treenail writes")
    env: str = setting(
        fields.Str(validate=validate.OneOf(["development", "production"])),
        "development",
        "in production missing secrets stop the start",
    )
    database_url: str = setting(
        Address("sqlite", "postgresql+psycopg"),
        "",
        "SQLite or postgresql+psycopg, the app's role",
        secret=True,
    )
    migration_database_url: str = setting(
        Address("sqlite", "postgresql+psycopg"),
        "",
        "PostgreSQL: the role that owns the tables",
        secret=True,
    )
    redis_url: str = setting(
        Address("redis", "rediss", "unix"), "", "absent: embedded", secret=True
    )
    plugins: tuple[str, ...] | None = setting(List(), None, "enabled plugins; all first-party")
    secret_key: str = setting(
        fields.Str(validate=validate.Length(32)), "", "signs tokens", secret=True
    )
    encryption_keys: str = setting(fields.Str(), "", "id:base64,… first writes", secret=True)
    public_url: str = setting(fields.Url(require_tld=False), "", "base of links in mail")
    cors_origins: tuple[str, ...] = setting(Origins(), (), "origins whose pages may call")
    trusted_proxies: tuple[str, ...] = setting(
        Networks(), (), "addresses or CIDRs of proxies believed about the client"
    )
    rate_limits: bool = setting(Switch(), True, "off for load tests")
    rate_limit: Rate = setting(  # noqa: RUF009  it is frozen
        Rates(), Rate(1200, "minute"), "calls of one person, or one address without log-in"
    )
    on_plugin_error: str = setting(
        fields.Str(validate=validate.OneOf(["fail", "skip"])), "fail", "when a plugin won't load"
    )
    provisioning_key: str = setting(fields.Str(), "", "asked for by /tenants/register", secret=True)
    smtp_url: str = setting(Address("smtp", "smtps"), "", "absent: .eml files", secret=True)
    mail_from: str = setting(fields.Str(), "Treenail <no-reply@localhost>", "sender of mail")
    mail_templates: str = setting(Folder(), "", "folder whose mail templates come first")
    metrics_token: str = setting(
        fields.Str(validate=validate.Length(16)), "", "opens /metrics to others", secret=True
    )
    api_docs: bool = setting(Switch(), True, "whether /docs and /openapi.json are there")
    log_level: str = setting(
        fields.Str(validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"])),
        "INFO",
        "least level logged",
    )
    worker: str = setting(
        fields.Str(validate=validate.OneOf(["inside", "apart"])),
        "inside",
        "whether `serve` runs background work itself",
    )
    threads: int = setting(
        fields.Int(strict=False, validate=validate.Range(1, 256)), 16, "threads that answer HTTP"
    )
    max_body_bytes: int = setting(
        fields.Int(validate=validate.Range(1024)), 2 << 20, "largest JSON body"
    )
    events_kept_days: int = setting(
        fields.Int(validate=validate.Range(1, 3650)), 30, "days that delivered events are kept"
    )
    dead_letters_kept_days: int = setting(
        fields.Int(validate=validate.Range(1, 3650)), 90, "days that dead letters are kept"
    )
    sqlite_synchronous: str = setting(
        fields.Str(validate=validate.OneOf(["NORMAL", "FULL"])),
        "NORMAL",
        "NORMAL survives a killed process, FULL a power loss",
    )

    @property
    def data_dir(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data).absolute()

    @property
    def name(self) -> str:
        """What tells this deployment from others that share a Redis with it."""
        return f"treenail-{hashlib.sha256(self.database.encode()).hexdigest()[:12]}"

    @property
    def database(self) -> str:
        """The database's URL; the embedded one lies in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'treenail.db'}"


# Read elsewhere, or only by tests: never an unknown key.
_PASSED_OVER = ("CONFIG",)


@dataclass(frozen=True)
class RawSettings:
    """Everything said so far, keys in lower case without the prefix, and who said it."""

    values: Mapping[str, Any] = field(repr=False)
    source: Mapping[str, str]

    def core(self, plugin_names: Iterable[str]) -> CoreSettings:
        """The core's section; refuses keys that are neither the core's nor a plugin's."""
        own = {key: value for key, value in self.values.items() if key in _keys(CoreSettings)}
        prefixes = tuple(f"{name}_" for name in plugin_names)
        for key in self.values.keys() - own.keys():
            if not key.startswith(prefixes):
                raise ConfigurationError(f"unknown setting {self.source[key]}")
        return self._load(CoreSettings, own, "")

    def section(self, plugin: str, kind: type[S], plugin_names: Iterable[str]) -> S:
        """A plugin's section; a key that a longer plugin name claims is not this one's."""
        prefix = f"{plugin}_"
        longer = tuple(f"{n}_" for n in plugin_names if n != plugin and n.startswith(prefix))
        own = {
            key.removeprefix(prefix): value
            for key, value in self.values.items()
            if key.startswith(prefix) and not (longer and key.startswith(longer))
            if key not in _keys(CoreSettings)
        }
        for key in own.keys() - _keys(kind):
            raise ConfigurationError(f"unknown setting {self.source[prefix + key]}")
        return self._load(kind, own, prefix)

    def _load(self, kind: type[S], values: Mapping[str, Any], prefix: str) -> S:
        schema = Schema.from_dict({f.name: f.metadata["field"] for f in _fields(kind)})
        try:
            return kind(**cast(dict[str, Any], schema().load(dict(values))))
        except ValidationError as error:
            messages_of: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
            key, messages = next(iter(messages_of.items()))
            problem = messages[0] if isinstance(messages, list) else messages
            named = self.source.get(prefix + key, f"{PREFIX}{prefix}{key}".upper())
            raise ConfigurationError(f"{named}: {problem}") from None


def read(environ: Mapping[str, str] | None = None) -> RawSettings:
    """Collect what the file named by ``TREENAIL_CONFIG`` and the environment say."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    source: dict[str, str] = {}
    path = environ.get(f"{PREFIX}CONFIG")
    for key, value in (_read_file(path) if path else {}).items():
        values[key], source[key] = value, f"{key} in {path}"
    for name, text in environ.items():
        key = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and not _passed_over(name.removeprefix(PREFIX)):
            values[key], source[key] = text, name
    return RawSettings(values, source)


def _read_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"TREENAIL_CONFIG: {path}: {error}") from None
    flat: dict[str, Any] = {}
    for key, value in document.items():  # a table [collab] holds that plugin's keys
        if isinstance(value, dict):
            flat |= {f"{key}_{inner}".lower(): deep for inner, deep in value.items()}
        else:
            flat[key.lower()] = value
    return flat


def _passed_over(key: str) -> bool:
    return key in _PASSED_OVER or key.startswith("TEST_")


def _fields(kind: type[Section]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _keys(kind: type[Section]) -> set[str]:
    return {f.name for f in _fields(kind)}
