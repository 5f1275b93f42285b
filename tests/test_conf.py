"""Settings: the layers, what each value may be, and what a report of problems says and doesn't say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aa_cache_integration import conf
from aa_cache_integration.config import CacheConfig, LoggingConfig, ModelConfig
from aa_cache_integration.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in an empty folder, with none of our variables set."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("AA_CACHE_") or name.endswith("_FOR_DYNACONF") or name == "ENV_FOR_AA_CACHE":
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "settings.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def problems() -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        conf.load()
    return caught.value.problems


def problem() -> str:
    found = problems()
    assert len(found) == 1, found
    return found[0]


def refused(caches: Mapping[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        conf.from_mapping(caches)
    assert len(caught.value.problems) == 1, caught.value.problems
    return caught.value.problems[0]


# --- layers -----------------------------------------------------------------------------------------------------------


def test_without_any_file_there_is_one_null_cache_of_defaults() -> None:
    settings = conf.load()
    assert dict(settings.caches) == {"default": CacheConfig()}
    assert settings.logging is None
    assert "built-in defaults" in settings.source


def test_each_layer_overrides_the_one_below(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("""
        [default.caches.default]
        key_prefix = "1"
        expiration_time = 1
        lease_wait = 1
        lease_timeout = 1
        bulk_threshold = 1
        max_threads = 7
        [production.caches.default]
        expiration_time = 2
        lease_wait = 2
        lease_timeout = 2
        bulk_threshold = 2
        [development.caches.default]
        max_threads = 99
    """)
    write(
        """
        [default.caches.default]
        lease_wait = 3
        lease_timeout = 3
        [production.caches.default]
        bulk_threshold = 3
        """,
        "settings.local.toml",
    )
    write(
        """
        [default.caches.default]
        lease_timeout = 4
        bulk_threshold = 4
        """,
        ".secrets.toml",
    )
    monkeypatch.setenv("AA_CACHE_CACHES__default__bulk_threshold", "5")
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "production")
    cache = conf.load().caches["default"]
    found = (cache.key_prefix, cache.expiration_time, cache.lease_wait, cache.lease_timeout, cache.bulk_threshold, cache.max_threads)
    assert found == ("1", 2, 3, 4, 5, 7)


def test_the_environment_is_development_where_none_is_named(write: Callable[..., Path]) -> None:
    write("""
        [development.caches.default]
        expiration_time = 7
        [production.caches.default]
        expiration_time = 8
    """)
    assert conf.load().caches["default"].expiration_time == 7


def test_a_missing_development_table_is_fine_where_no_environment_is_named(write: Callable[..., Path]) -> None:
    write("[default.caches.default]\nexpiration_time = 5\n[production]\n")
    assert conf.load().caches["default"].expiration_time == 5


@pytest.mark.parametrize("named", ["prod", "development", "PRODUCTIONS"])
def test_a_named_environment_that_no_file_has_is_an_error(named: str, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[default]\n[production.caches.default]\nexpiration_time = 5")
    monkeypatch.setenv("ENV_FOR_AA_CACHE", named)
    line = problem()
    assert line.startswith(f"ENV_FOR_AA_CACHE: no environment '{named}' in settings.toml, which has default, production")
    assert ("did you mean 'production'?" in line) == (named != "development")


def test_an_environment_is_found_whatever_its_case(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[Production.caches.default]\nexpiration_time = 5")
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "PRODUCTION")
    assert conf.load().caches["default"].expiration_time == 5


def test_several_environments_are_laid_in_their_order(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[eu.caches.default]\nexpiration_time = 5\nmax_threads = 5\n[production.caches.default]\nexpiration_time = 6\nmax_threads = 6")
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "production, eu")
    assert conf.load().caches["default"].max_threads == 5


def test_an_environment_in_the_local_file_alone_is_known(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[default]\n")
    write("[mine.caches.default]\nexpiration_time = 5", "settings.local.toml")
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "mine")
    assert conf.load().caches["default"].expiration_time == 5


def test_the_file_named_by_the_variable_is_read_with_its_companions(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[default.caches.default]\nexpiration_time = 1")
    write("[default.caches.default]\nexpiration_time = 2", "etc/cache.toml")
    write("[default.caches.default]\nmax_threads = 2", "etc/cache.local.toml")
    write("[default.caches.default]\nbulk_threshold = 2", "etc/.secrets.toml")
    monkeypatch.setenv("AA_CACHE_SETTINGS", "etc/cache.toml")
    settings = conf.load()
    cache = settings.caches["default"]
    assert (cache.expiration_time, cache.max_threads, cache.bulk_threshold) == (2, 2, 2)
    assert all(name in settings.source for name in ("cache.toml", "cache.local.toml", ".secrets.toml"))


def test_a_named_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AA_CACHE_SETTINGS", "nowhere.toml")
    assert problem().startswith("AA_CACHE_SETTINGS: there is no file ")


def test_an_empty_file_may_be_named(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AA_CACHE_SETTINGS", str(write("")))
    assert dict(conf.load().caches) == {"default": CacheConfig()}


def test_broken_toml_is_told_with_file_and_line(write: Callable[..., Path]) -> None:
    path = write("[default]\n\nnot toml")
    line = problem()
    assert line.startswith(f"{path}, line 3, column ")
    assert "not valid TOML" in line


def test_broken_toml_of_the_secrets_is_told_without_a_word_of_it(write: Callable[..., Path]) -> None:
    write("[default]\npassword = hunter2", ".secrets.toml")
    line = problem()
    assert "line 2" in line
    assert "hunter2" not in line


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b'[default]\nx = "\xff"')
    assert problem().endswith("settings.toml: the file isn't UTF-8")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"\xef\xbb\xbf[default.caches.default]\r\nexpiration_time = 5\r\n")
    assert conf.load().caches["default"].expiration_time == 5


def test_settings_outside_of_an_environment_are_refused(write: Callable[..., Path]) -> None:
    write("level = 5\n[caches.default]\nexpiration_time = 5")
    lines = problems()
    assert lines[0] == "level: stands outside of an environment's table such as [default] (settings.toml)"
    assert lines[1] == "caches: stands outside of an environment's table such as [default.caches] (settings.toml)"


def test_an_unknown_name_under_an_environment_is_refused_with_the_nearest(write: Callable[..., Path]) -> None:
    write("[default.cache.default]\nexpiration_time = 5")
    assert problem() == "cache: unknown setting; did you mean 'caches'? (settings.toml [default])"


def test_settings_of_another_application_are_refused_with_the_way_out(write: Callable[..., Path]) -> None:
    write("[default]\nDATABASE = 'x'")
    assert "name a file of your own by AA_CACHE_SETTINGS" in problem()


def test_two_environments_that_differ_by_case_are_refused(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[production]\n[Production]\n[default]")
    assert conf.load().caches["default"] == CacheConfig()  # they don't matter here
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "production")
    assert problem() == "settings.toml: environments production and Production differ only by case"


# --- Dynaconf's pitfalls ----------------------------------------------------------------------------------------------


def test_aliases_arguments_and_tables_keep_their_case(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("""
        [default.caches.OrdersEU]
        backend = "dogpile.cache.memory"
        bind_group = "EU"
        [default.caches.OrdersEU.arguments]
        socketTimeout = 1
        [default.caches.OrdersEU.models.CamelCase]
        expiration_time = 9
    """)
    monkeypatch.setenv("AA_CACHE_CACHES__OrdersEU__arguments__clientName", "App")
    settings = conf.load()
    assert set(settings.caches) == {"default", "OrdersEU"}
    assert settings.caches["OrdersEU"].arguments == {"socketTimeout": 1, "clientName": "App"}
    assert list(settings.caches["OrdersEU"].models) == ["CamelCase"]


@pytest.mark.parametrize("upper", ["Default", "DEFAULT"])
def test_aliases_that_differ_by_case_are_refused_and_never_merged(
    upper: str, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f"[default.caches.default]\nmax_threads = 5\n[production.caches.{upper}]\nbind_group = 'x'")
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "production")
    expected = f"caches.{upper}: differs from caches.default only by case: they are two caches (from settings.toml [default])"
    assert problem() == f"{expected} (settings.toml [production])"


def test_a_variable_does_not_merge_into_an_alias_of_another_case(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[default.caches.default]\nmax_threads = 5")
    monkeypatch.setenv("AA_CACHE_CACHES__DEFAULT__max_threads", "6")
    assert "only by case" in problem()


def test_on_windows_variables_are_spelled_as_the_files_are(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows knows variables in upper case only; there the case is taken from what the files declare."""
    monkeypatch.setattr(conf, "_FOLDS_VARIABLES", True)
    write("[default.caches.OrdersEU]\nbind_group = 'eu'\narguments = { someName = 1 }")
    monkeypatch.setenv("AA_CACHE_CACHES__ORDERSEU__ARGUMENTS__SOMENAME", "2")
    monkeypatch.setenv("AA_CACHE_CACHES__ORDERSEU__EXPIRATION_TIME", "3")
    cache = conf.load().caches["OrdersEU"]
    assert (cache.arguments, cache.expiration_time) == ({"someName": 2}, 3)


def test_a_list_of_a_higher_layer_replaces_the_lower_one(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("""
        [default.caches.default]
        untracked = ["audit_*"]
        arguments = { url = ["a:1", "b:1"] }
        [development.caches.default]
        untracked = ["log_*"]
    """)
    monkeypatch.setenv("AA_CACHE_CACHES__default__arguments__url", '["c:1"]')
    cache = conf.load().caches["default"]
    assert cache.untracked == ("log_*",)
    assert cache.arguments == {"url": ["c:1"]}


def test_dynaconfs_merge_marks_do_as_they_say_and_leak_nowhere(write: Callable[..., Path]) -> None:
    write("""
        [default.caches.default]
        untracked = ["a"]
        signing_keys = ["one"]
        arguments = { host = "h", port = 1 }
        models.a1 = { ops = ["get"] }
        models.b1 = { ops = ["get"] }
        [development]
        dynaconf_merge = true
        [development.caches.default]
        dynaconf_merge = true
        untracked = ["b", "dynaconf_merge"]
        signing_keys = "@merge_unique one,two"
        arguments = { port = 2, dynaconf_merge = false }
        models.a1 = "@del"
    """)
    cache = conf.load().caches["default"]
    assert cache.untracked == ("a", "b")
    assert cache.signing_keys == ("one", "two")
    assert cache.arguments == {"port": 2}
    assert list(cache.models) == ["b1"]


def test_an_unsupported_merge_mark_is_told(write: Callable[..., Path]) -> None:
    write("[default.caches.default]\nuntracked = '@insert 0 x'")
    assert "@insert isn't supported" in problem()


def test_dynaconfs_tokens_are_evaluated(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_HOST", "h1")
    monkeypatch.setenv("SOME_TTL", "12")
    monkeypatch.setenv("AA_CACHE_CACHES__default__max_entries", "@none")
    write("""
        [default.caches.default]
        expiration_time = "@int @format {env[SOME_TTL]}"
        negative_ttl = "@none"
        arguments = { host = "@format {env[SOME_HOST]}", port = "@int 6379", name = "@nothing special" }
    """)
    cache = conf.load().caches["default"]
    assert (cache.expiration_time, cache.negative_ttl, cache.max_entries) == (12, None, None)
    assert cache.arguments == {"host": "h1", "port": 6379, "name": "@nothing special"}


def test_a_token_that_fails_is_told_without_its_value(write: Callable[..., Path]) -> None:
    write("[default.caches.default]\narguments = { host = '@format {env[NO_SUCH]}', password = '@int hunter2' }")
    lines = problems()
    assert lines[0] == "caches.default.arguments.host: @format can't be evaluated: there is no 'NO_SUCH' (settings.toml [default])"
    assert lines[1].startswith("caches.default.arguments.password: @int can't be evaluated: ")
    assert "hunter2" not in str(lines)


def test_variables_are_typed_and_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "caches__default__backend": "dogpile.cache.memory",
        "CACHES__default__arguments__port": "6380",
        "CACHES__default__arguments__host": "localhost",
        "CACHES__default__arguments__nested__deep": "1.5",
        "CACHES__default__expiration_time": "60",
        "CACHES__default__enabled": "False",
        "CACHES__default__models__catalog.products__ops": '["get"]',
        "CACHES__eu": '{bind_group = "eu"}',
        "LOGGING__level": "debug",
    }.items():
        monkeypatch.setenv(f"AA_CACHE_{name}", value)
    settings = conf.load()
    cache = settings.caches["default"]
    assert cache.arguments == {"port": 6380, "host": "localhost", "nested": {"deep": 1.5}}
    assert (cache.backend, cache.expiration_time, cache.enabled) == ("dogpile.cache.memory", 60, False)
    assert cache.models == {"catalog.products": ModelConfig(ops=("get",))}
    assert settings.caches["eu"].bind_group == "eu"
    assert settings.logging == LoggingConfig(level="debug")


@pytest.mark.parametrize("password", ["12345", "1e5", "true", "2024-01-01", "007"])
def test_a_password_in_a_variable_stays_the_text_it_is(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AA_CACHE_CACHES__default__arguments__password", password)
    assert conf.load().caches["default"].arguments == {"password": password}


def test_an_unknown_variable_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AA_CACHE_CACHE__default__enabled", "false")
    assert problem().startswith("AA_CACHE_CACHE__default__enabled: unknown setting; did you mean 'CACHES'?")


def test_a_variable_with_an_empty_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AA_CACHE_CACHES__default____port", "1")
    assert "a part of the name is empty" in problem()


def test_what_kubernetes_sets_for_a_service_called_aa_cache_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_REDIS", "PORT", "PORT_6379_TCP", "PORT_6379_TCP_ADDR"):
        monkeypatch.setenv(f"AA_CACHE_{name}", "x")
    assert conf.load().caches["default"] == CacheConfig()


def test_variables_meant_for_another_application_of_dynaconf_change_nothing(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("[default.caches.default]\nexpiration_time = '@int 5'\nmax_threads = 5\n[development.caches.default]\nmax_threads = 6")
    other = write("[default.caches.default]\nexpiration_time = 99\n[other.caches.default]\nmax_threads = 99", "other.toml")
    for name, value in {
        "ENV": "other",
        "FORCE_ENV": "other",
        "SETTINGS_FILE": str(other),
        "PRELOAD": str(other),
        "INCLUDES": str(other),
        "SECRETS": str(other),
        "ENVVAR_PREFIX": "OTHER",
        "MERGE_ENABLED": "false",
        "ENVIRONMENTS": "false",
        "AUTO_CAST": "false",
        "NESTED_SEPARATOR": "___",
        "CORE_LOADERS": "[]",
    }.items():
        monkeypatch.setenv(f"{name}_FOR_DYNACONF", value)
    monkeypatch.setenv("OTHER_CACHES__default__expiration_time", "98")
    monkeypatch.setenv("DYNACONF_CACHES__default__expiration_time", "97")
    cache = conf.load().caches["default"]
    assert (cache.expiration_time, cache.max_threads) == (5, 6)


def test_a_dotenv_file_and_dynaconf_hooks_in_the_folder_are_not_run(write: Callable[..., Path], tmp_path: Path) -> None:
    """In a process of its own, for Dynaconf looks for dotenv files when it is imported."""
    write("[default.caches.default]\nexpiration_time = '@int 5'")
    write("AA_CACHE_CACHES__default__expiration_time=6\nFROM_DOTENV=1\n", ".env")
    write("def post(settings):\n    raise SystemExit('the hook was run')\n", "dynaconf_hooks.py")
    code = (
        "import os; from aa_cache_integration.conf import load; print(load().caches['default'].expiration_time, os.getenv('FROM_DOTENV'))"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "LOAD_DOTENV_FOR_DYNACONF": "true"}
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == ("5 None", 0), done.stderr


def test_table_names_with_dots_and_globs_survive(write: Callable[..., Path]) -> None:
    write("""
        [default.caches.default.models]
        "catalog.products" = { expiration_time = 1 }
        "catalog_*" = { ops = ["get"], negative_ttl = "@none", also_changes = ["stock"], depends_on = ["a.b"] }
    """)
    assert conf.load().caches["default"].models == {
        "catalog.products": ModelConfig(expiration_time=1),
        "catalog_*": ModelConfig(ops=("get",), also_changes=("stock",), depends_on=("a.b",)),
    }


# --- a report of everything that is wrong -----------------------------------------------------------------------------


def test_every_problem_is_in_one_report_with_path_expectation_finding_and_layer(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("""
        [default.caches.default]
        expiration_time = "300"
        enabled = 1
        [default.caches.default.models."catalog.products"]
        ops = ["get", "list"]
        [development.caches.default]
        consistency = "strickt"
        expiraton_time = 5
    """)
    write("[default.logging]\nlevel = 'verbose'", "settings.local.toml")
    monkeypatch.setenv("AA_CACHE_CACHES__default__jitter", "1.5")
    assert set(problems()) == {
        (
            "caches.default.expiration_time: expected an integer of -1 or more (seconds; -1 is for ever), found str '300'"
            " (settings.toml [default])"
        ),
        "caches.default.enabled: expected true or false, found int 1 (settings.toml [default])",
        'caches.default.models."catalog.products".ops: expected a list of "get" and "query", found list (settings.toml [default])',
        (
            "caches.default.consistency: expected one of \"strict\", \"eventual\", found str 'strickt'; did you mean 'strict'?"
            " (settings.toml [development])"
        ),
        "caches.default.expiraton_time: unknown setting; did you mean 'expiration_time'? (settings.toml [development])",
        (
            "caches.default.jitter: expected a number from 0 up to, not including, 1 (a fraction of the time to live), found float 1.5"
            " (env AA_CACHE_CACHES__default__jitter)"
        ),
        'logging.level: expected one of "debug", "info", "warning", "error", found str \'verbose\' (settings.local.toml [default])',
    }


WRONG: dict[str, list[Any]] = {
    "backend": [None, 1, "", ["x"]],
    "expiration_time": ["300", True, 1.0, -2, None],
    "arguments": [None, "x", ["x"], {1: 2}],
    "key_prefix": [None, 1, b"x"],
    "enabled": [None, 1, 0, "true"],
    "serializer": [1],
    "deserializer": [1],
    "region_factory": [1],
    "bind_group": [1, "", " "],
    "models": [None, [], "x", {"": {}}, {"t": 1}, {1: {}}],
    "max_entries": ["none", 0, True, 1.5],
    "jitter": [None, -0.1, 1, 1.0, True, "0.1", float("nan")],
    "negative_ttl": ["60", -2, 1.5, True],
    "consistency": [None, "", "Strict", 1],
    "write_intent_timeout": [None, 0, -1, "30", True, float("inf"), float("nan")],
    "lease_timeout": [None, 0, -1, "30", True, float("inf")],
    "lease_wait": [None, -0.1, "2", True, float("nan")],
    "unreachable_commit": [None, "", "reject", 1],
    "snapshot_reads": [None, "", "strict", 1],
    "intent_loss_guard": [None, 1, "true"],
    "clock_skew": [None, -0.1, "2", True],
    "bulk_threshold": [None, 0, "5", True, 1.5],
    "untracked": [None, "audit_*", [1], [""], {"a": 1}],
    "max_threads": [None, 0, "5", True, 1.5],
    "signing_keys": [None, "secret", [1], [""]],
}
RIGHT: dict[str, list[Any]] = {
    "backend": ["dogpile.cache.memory"],
    "expiration_time": [-1, 0, 5],
    "arguments": [{}, {"a": object()}],
    "key_prefix": ["", "x"],
    "enabled": [True, False],
    "region_factory": [None, dict],
    "bind_group": [None, "eu"],
    "models": [{}, {"t": ModelConfig()}],
    "max_entries": [None, 1],
    "jitter": [0, 0.0, 0.99],
    "negative_ttl": [None, -1, 0, 5],
    "consistency": ["strict", "eventual"],
    "write_intent_timeout": [1, 0.5],
    "lease_timeout": [1, 0.5],
    "lease_wait": [0, 0.5],
    "unreachable_commit": ["proceed", "refuse"],
    "snapshot_reads": ["relaxed", "exact"],
    "intent_loss_guard": [True],
    "clock_skew": [0, 0.5],
    "bulk_threshold": [1],
    "untracked": [[], ["a"], ("a",)],
    "max_threads": [1],
    "signing_keys": [[], ["a"], ("a",)],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_type_or_range_is_refused_in_settings_and_in_code(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        conf.from_mapping({"default": {name: value}})
    assert any(line.startswith(f"caches.default.{name}") for line in caught.value.problems)
    assert any(line.startswith(name) for line in conf.validate(CacheConfig(**{name: value})))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values])
def test_a_right_value_is_taken_in_settings_and_in_code(name: str, value: Any) -> None:
    conf.from_mapping({"default": {name: value}})
    assert conf.validate(CacheConfig(**{name: value})) == []


def test_every_field_has_wrong_values_in_these_tests() -> None:
    assert set(WRONG) == {field.name for field in fields(CacheConfig)}


def test_the_defaults_are_valid() -> None:
    assert conf.validate(CacheConfig()) == []


def test_in_code_a_model_is_declared_by_a_model_config() -> None:
    assert conf.validate(CacheConfig(models={"t": {"ops": ["get"]}})) == ["models.t: expected a ModelConfig, found dict"]  # type: ignore[dict-item]


def test_lists_become_tuples_and_integers_become_seconds() -> None:
    table = {"untracked": ["a"], "signing_keys": ["k"], "lease_wait": 3, "models": {"t": {"ops": []}}}
    cache = conf.from_mapping({"default": table}).caches["default"]
    assert (cache.untracked, cache.signing_keys, cache.lease_wait, cache.models["t"].ops) == (("a",), ("k",), 3.0, ())
    assert isinstance(cache.lease_wait, float)


@pytest.mark.parametrize(
    "table", [{"ops": "get"}, {"expiration_time": -2}, {"negative_ttl": True}, {"also_changes": "x"}, {"depends_on": [1]}]
)
def test_a_models_settings_are_checked(table: dict[str, Any]) -> None:
    assert refused({"default": {"models": {"t": table}}}).startswith(f"caches.default.models.t.{next(iter(table))}: expected ")


def test_an_unknown_setting_of_a_model_is_refused() -> None:
    assert refused({"default": {"models": {"t": {"op": []}}}}) == "caches.default.models.t.op: unknown setting; did you mean 'ops'?"


@pytest.mark.parametrize(
    ("untracked", "declared", "clash"),
    [
        ("audit_log", "audit_log", True),
        ("audit_*", "audit_log", True),
        ("audit_log", "audit_*", True),
        ("*_log", "audit_*", True),
        ("audit_?", "audit_[ab]", True),
        ("audit_*", "order_*", False),
        ("audit_?", "audit_log", False),
    ],
)
def test_a_table_that_is_untracked_can_not_be_declared(untracked: str, declared: str, clash: bool) -> None:
    table = {"default": {"untracked": [untracked], "models": {declared: {}}}}
    if clash:
        assert refused(table).startswith(f"caches.default.untracked: {untracked!r} exempts caches.default.models.")
    else:
        conf.from_mapping(table)


def test_a_view_can_not_depend_on_an_untracked_table() -> None:
    line = refused({"default": {"untracked": ["audit_*"], "models": {"totals": {"depends_on": ["audit_log"]}}}})
    assert line.startswith("caches.default.models.totals.depends_on: 'audit_log' is untracked")


def test_two_aliases_can_not_serve_one_bind_group() -> None:
    line = refused({"orders": {"bind_group": "eu"}, "invoices": {"bind_group": "eu"}})
    assert line == "caches.invoices.bind_group: bind group 'eu' is served by caches.orders already"
    assert "default bind group (no bind_group) is served by caches.a already" in refused({"a": {}, "b": {}})


def test_the_two_layers_of_a_contested_bind_group_are_told(write: Callable[..., Path]) -> None:
    write("[default.caches.a]\nbind_group = 'eu'")
    write("[default.caches.b]\nbind_group = 'eu'", "settings.local.toml")
    assert problem().endswith("by caches.a already (from settings.toml [default]) (settings.local.toml [default])")


def test_the_implied_default_cache_gives_way_to_one_that_serves_the_default_group(write: Callable[..., Path]) -> None:
    write("[default.caches.main]\nexpiration_time = 5")
    assert list(conf.load().caches) == ["main"]
    write("[default.caches.eu]\nbind_group = 'eu'")
    assert list(conf.load().caches) == ["default", "eu"]


def test_a_cache_that_is_not_a_table_is_refused() -> None:
    assert refused({"default": 5}) == "caches.default: expected a table, found int 5"
    assert refused({"": {}}).startswith("caches.")


# --- what settings name -----------------------------------------------------------------------------------------------


def test_an_unknown_backend_is_refused_with_the_nearest_and_all_known() -> None:
    line = refused({"default": {"backend": "dogpile.cache.memroy"}})
    assert line.startswith("caches.default.backend: unknown backend; did you mean 'dogpile.cache.memory'?")
    assert "known: dogpile.cache.bmemcached, dogpile.cache.dbm, " in line


def test_a_backend_that_an_application_registered_is_known() -> None:
    from dogpile.cache import register_backend

    register_backend("tests.conf.backend", "dogpile.cache.backends.memory", "MemoryBackend")  # type: ignore[no-untyped-call]
    assert conf.from_mapping({"default": {"backend": "tests.conf.backend"}}).caches["default"].backend == "tests.conf.backend"


def test_a_backend_of_an_installed_package_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "somebodys_backend-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dogpile.cache]\nsomebodys.backend = dogpile.cache.backends.memory:MemoryBackend\n")
    assert "unknown backend" in refused({"default": {"backend": "somebodys.backend"}})
    monkeypatch.syspath_prepend(tmp_path)
    conf.from_mapping({"default": {"backend": "somebodys.backend"}})


def test_a_region_factory_takes_the_place_of_a_backend() -> None:
    conf.from_mapping({"default": {"backend": "no.such", "region_factory": dict}})


@pytest.mark.parametrize(
    ("backend", "module", "remedy"),
    [
        ("dogpile.cache.redis", "redis", 'pip install "aa-cache-integration[redis]"'),
        ("dogpile.cache.redis_cluster", "redis", 'pip install "aa-cache-integration[redis]"'),
        ("dogpile.cache.valkey", "valkey", 'pip install "aa-cache-integration[valkey]"'),
        ("dogpile.cache.pymemcache", "pymemcache", 'pip install "aa-cache-integration[memcached]"'),
        ("dogpile.cache.pylibmc", "pylibmc", "pip install pylibmc"),
    ],
)
def test_a_client_library_that_is_not_installed_is_told_with_its_extra(
    backend: str, module: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what Python itself takes for "not there"
    assert remedy in refused({"default": {"backend": backend}})


def test_a_client_library_is_not_imported_to_find_out_whether_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text("raise SystemExit('imported')")
    code = "from aa_cache_integration import conf; conf.from_mapping({'default': {'backend': 'dogpile.cache.redis'}})"
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("colon", [".", ":"])
def test_callables_are_named_by_dotted_path(colon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_things.py").write_text(
        "def dump(x): return b''\ndef load(b, m): return None\nnumber = 5\nclass Box:\n    make = dict\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    table = {
        "serializer": f"named_things{colon}dump",
        "deserializer": f"named_things{colon}load",
        "region_factory": "named_things:Box.make",
    }
    cache = conf.from_mapping({"default": table}).caches["default"]
    import named_things  # type: ignore[import-not-found]

    assert cache.serializer is named_things.dump
    assert cache.deserializer is named_things.load
    assert cache.region_factory is named_things.Box.make


@pytest.mark.parametrize(
    ("dotted", "why"),
    [
        ("no_such_module:thing", "no module named 'no_such_module'"),
        ("json.no_such", "json has no 'no_such'"),
        ("json:dump_", "json has no 'dump_'; did you mean 'dump'?"),
        ("json:decoder", "expected a callable, and json:decoder is a module"),
        ("json", 'expected a dotted path such as "package.module:function"'),
        ("json:", "expected a dotted path"),
        ("raises_at_import:x", "raises_at_import can't be imported (ZeroDivisionError"),
    ],
)
def test_a_dotted_path_that_leads_nowhere_is_told(dotted: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raises_at_import.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    line = refused({"default": {"region_factory": dotted}})
    assert line.startswith(f"caches.default.region_factory: {why}")
    assert line.endswith(f"found str {dotted!r}")


def test_a_module_of_the_settings_may_ask_for_settings_in_a_thread_of_its_own(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is not held while the application's modules are imported: that would be a deadlock here."""
    (tmp_path / "asks_for_settings.py").write_text(
        "import threading\nfrom aa_cache_integration import conf\n"
        "def ask():\n    conf._Reader({}).read()\n    with conf._lock:\n        pass\n"
        "thread = threading.Thread(target=ask, daemon=True)\nthread.start()\nthread.join(10)\nalive = thread.is_alive()\n"
        "def factory(config): return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    write("[default.caches.default]\nregion_factory = 'asks_for_settings:factory'")
    conf.load()
    assert sys.modules["asks_for_settings"].alive is False


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_in_a_report(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("""
        [default.caches.default]
        signing_keys = "hunter2-a"
        arguments = "hunter2-b"
        key_prefix = ["hunter2-c"]
        backend = "redis://user:hunter2-d@host"
        [default.caches.token]
        bind_group = 5
        arguments = ["hunter2-e"]
        consistency = "password=hunter2-f"
    """)
    write("[default.caches.default]\nmax_threads = 'hunter2-g'\nuntracked = 'hunter2-h'", ".secrets.toml")
    monkeypatch.setenv("AA_CACHE_CACHES__token__signing_keys", "hunter2-i")
    lines = problems()
    assert len(lines) == 10
    assert "hunter2" not in str(lines)
    assert (
        "caches.default.max_threads: expected an integer of 1 or more (threads), found str (not shown) (.secrets.toml [default])" in lines
    )


def test_a_value_is_secret_by_its_own_layer_not_by_the_one_below(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[default.caches.default]\nkey_prefix = 'hunter2'", ".secrets.toml")
    monkeypatch.setenv("AA_CACHE_CACHES__default__key_prefix", "5")
    assert problem() == "caches.default.key_prefix: expected a string, found int 5 (env AA_CACHE_CACHES__default__key_prefix)"


def test_a_settings_repr_has_no_secrets() -> None:
    table = {"signing_keys": ["hunter2"], "arguments": {"password": "hunter2"}}
    assert "hunter2" not in repr(conf.from_mapping({"default": table}))


def test_a_report_hangs_on_no_other_exception_that_could_show_a_secret(write: Callable[..., Path]) -> None:
    write("[default.caches.default]\narguments = { password = '@int hunter2' }")
    with pytest.raises(SettingsError) as caught:
        conf.load()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# --- logging, mappings, snapshots -------------------------------------------------------------------------------------


def test_the_log_file_is_in_the_settings_files_folder(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("[default.logging]\nfile = 'log/cache.log'\nformat = 'console'", "etc/cache.toml")
    monkeypatch.setenv("AA_CACHE_SETTINGS", "etc/cache.toml")
    assert conf.load().logging == LoggingConfig("console", "info", str(tmp_path / "etc" / "log" / "cache.log"))
    absolute = str(tmp_path / "x.log")
    monkeypatch.setenv("AA_CACHE_LOGGING__file", absolute)
    settings = conf.load().logging
    assert settings is not None
    assert settings.file == absolute


def test_the_logging_table_is_checked() -> None:
    with pytest.raises(SettingsError) as caught:
        conf.from_mapping({}, logging={"format": "xml", "level": 10, "file": "", "fiel": "x"})
    assert len(caught.value.problems) == 4
    with pytest.raises(SettingsError, match="logging: expected a table, found int 5"):
        conf.from_mapping({}, logging=5)  # type: ignore[arg-type]


def test_a_logging_table_can_be_taken_away(write: Callable[..., Path]) -> None:
    write("[default.logging]\nlevel = 'info'\n[development]\nlogging = '@del'")
    assert conf.load().logging is None


def test_a_mapping_is_read_like_djangos_caches() -> None:
    config = CacheConfig(key_prefix="b:", bind_group="b", models={"t": ModelConfig(ops=("get",))})
    settings = conf.from_mapping({"default": {"expiration_time": 5}, "b": config}, logging=LoggingConfig(level="debug"))
    assert dict(settings.caches) == {"default": CacheConfig(expiration_time=5), "b": config}
    assert settings.logging == LoggingConfig(level="debug")
    assert dict(conf.from_mapping({}).caches) == {}


def test_a_config_given_in_a_mapping_is_checked_too() -> None:
    assert refused({"default": CacheConfig(expiration_time=-2)}).startswith("caches.default.expiration_time: expected an integer")


def test_settings_are_a_snapshot(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[default.caches.default]\nexpiration_time = 5")
    before = conf.load()
    write("[default.caches.default]\nexpiration_time = 6")
    monkeypatch.setenv("AA_CACHE_CACHES__default__max_threads", "3")
    assert (before.caches["default"].expiration_time, before.caches["default"].max_threads) == (5, 40)
    assert (conf.load().caches["default"].expiration_time, conf.load().caches["default"].max_threads) == (6, 3)
    with pytest.raises(TypeError):
        before.caches["x"] = CacheConfig()  # type: ignore[index]


def test_a_mapping_changed_later_does_not_change_the_settings() -> None:
    given: dict[str, Any] = {"default": {"arguments": {"nested": {"a": [1]}}}}
    settings = conf.from_mapping(given)
    given["default"]["arguments"]["nested"]["a"].append(2)
    config = CacheConfig(arguments={"a": 1})
    other = conf.from_mapping({"default": config})
    config.arguments["a"] = config.expiration_time = 2
    assert settings.caches["default"].arguments == {"nested": {"a": [1]}}
    assert other.caches["default"] == CacheConfig(arguments={"a": 1})


def test_many_threads_may_load_at_once(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_HOST", "h1")
    write("[default.caches.default]\narguments = { host = '@format {env[SOME_HOST]}' }\nuntracked = ['a']")
    with ThreadPoolExecutor(16) as pool:
        loaded = list(pool.map(lambda _: conf.load(), range(64)))
    assert all(settings == loaded[0] for settings in loaded)


# --- what is shipped --------------------------------------------------------------------------------------------------


def test_the_shipped_settings_are_valid_and_show_hits_and_misses_in_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AA_CACHE_SETTINGS", str(ROOT / "settings.toml"))
    settings = conf.load()
    assert settings.caches["default"].backend == "dogpile.cache.memory"
    assert settings.logging is not None
    assert settings.logging.level == "debug"
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "production")
    settings = conf.load()
    assert settings.logging is not None
    assert settings.logging.level == "info"


def test_the_shipped_settings_are_valid_with_their_comments_taken_off(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis", reason='the sample names a Redis cache: pip install "aa-cache-integration[redis]"')
    text = (ROOT / "settings.toml").read_text(encoding="utf-8")
    write(re.sub(r"(?m)^# (?=\[|\w+ = )", "", text))
    monkeypatch.setenv("ENV_FOR_AA_CACHE", "production")
    monkeypatch.setenv("REDIS_HOST", "h1")
    settings = conf.load()
    assert settings.caches["default"].arguments["host"] == "h1"
    assert settings.caches["default"].models == {"products": ModelConfig(expiration_time=600)}
    assert settings.caches["orders_eu"].bind_group == "eu"


def _declared() -> dict[str, str]:
    """Every setting's name, as the README writes it, and its default."""
    declared = {}
    for prefix, kind in (("", CacheConfig), ("models.<table>.", ModelConfig), ("logging.", LoggingConfig)):
        for field in fields(kind):
            default = field.default if field.default is not MISSING else {}
            text = {None: "none", True: "true", False: "false"}.get(default) if default is None or isinstance(default, bool) else None
            text = text or (f'"{default}"' if isinstance(default, str) else str(list(default) if isinstance(default, tuple) else default))
            declared[f"{prefix}{field.name}"] = text.replace("'", '"')
    return declared


def test_the_readme_lists_every_setting_with_its_default() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines() if line.startswith("| `")]
    assert all(len(row) == 5 and all(row) for row in rows), "a row has name, type, unit, default and meaning"
    assert {row[0].strip("`"): row[3].strip("`") for row in rows} == _declared()
