"""Events as log lines: with a ``[logging]`` table, through the application's structlog, through stdlib logging."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from aa_cache_integration import events
from aa_cache_integration.config import LoggingConfig
from aa_cache_integration.events import Emitter, hook_for
from aa_cache_integration.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _structlog_as_new() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def emitter_for(config: LoggingConfig | None) -> Emitter:
    return Emitter("default", hooks=[hook_for(config)])


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


class TestOwnLog:
    """With a ``[logging]`` table."""

    def test_json_is_one_object_a_line_with_time_level_and_event_first(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        emitter = emitter_for(LoggingConfig(format="json", level="debug", file=str(file)))
        emitter.emit(events.HIT, model="products", op="get", key="aa:products:get:5", took_ms=0.25)
        emitter.emit(events.INVALIDATE, model="products", count=2)
        hit, invalidation = lines_of(file)
        assert list(hit) == ["timestamp", "level", "event", "cache", "model", "op", "key", "took_ms"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", hit.pop("timestamp"))
        assert hit == {
            "level": "debug",
            "event": "cache.hit",
            "cache": "default",
            "model": "products",
            "op": "get",
            "key": "aa:products:get:5",
            "took_ms": 0.25,
        }
        assert invalidation["level"] == "info"
        assert "key" not in invalidation

    def test_a_key_with_a_line_break_stays_on_one_line(self, tmp_path: Path) -> None:
        for format_ in ("json", "console"):
            file = tmp_path / format_
            emitter_for(LoggingConfig(format=format_, level="debug", file=str(file))).emit(events.HIT, key="a\nforged line \udcff")
            assert len(file.read_text(encoding="utf-8").splitlines()) == 1

    def test_the_console_is_readable_text(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        emitter_for(LoggingConfig(format="console", level="debug", file=str(file))).emit(events.BYPASS, op="get", reason="lease held")
        assert re.search(r"^\S+Z \[debug +\] cache\.bypass +cache='default' op='get' reason='lease held'$", file.read_text().strip())

    def test_without_a_file_it_writes_to_standard_error_without_colours(self, capsys: pytest.CaptureFixture[str]) -> None:
        emitter = emitter_for(LoggingConfig(format="console", level="info"))
        emitter.emit(events.INVALIDATE, model="products")
        captured = capsys.readouterr()
        assert "cache.invalidate" in captured.err
        assert "\x1b" not in captured.err
        assert not captured.out

    def test_a_terminal_gets_colours_unless_it_asks_for_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.delenv("NO_COLOR", raising=False)
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        emitter_for(LoggingConfig(format="console")).emit(events.INVALIDATE)
        monkeypatch.setenv("NO_COLOR", "1")
        emitter_for(LoggingConfig(format="console")).emit(events.INVALIDATE)
        coloured, plain = terminal.getvalue().splitlines()
        assert "\x1b[" in coloured
        assert "\x1b[" not in plain

    def test_a_missing_standard_error_is_no_error(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        monkeypatch.setattr("sys.stderr", None)
        emitter_for(LoggingConfig()).emit(events.INVALIDATE)
        assert not caplog.records

    @pytest.mark.parametrize(
        ("level", "wanted"),
        [
            ("debug", set(events.LEVELS)),
            ("info", {events.INVALIDATE, events.RECOVERED, events.DEGRADED, events.REJECTED}),
            ("warning", {events.DEGRADED, events.REJECTED}),
            ("error", set()),
        ],
    )
    def test_only_events_at_or_above_the_level_are_wanted_and_written(self, level: Any, wanted: set[str], tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        emitter = emitter_for(LoggingConfig(level=level, file=str(file)))
        for name in events.LEVELS:
            assert emitter.wants(name) == (name in wanted)
            emitter.emit(name)
        assert {line["event"] for line in lines_of(file)} == wanted

    def test_the_file_is_appended_to(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        file.write_text('{"event": "before"}\n')
        emitter_for(LoggingConfig(file=str(file))).emit(events.INVALIDATE)
        assert [line["event"] for line in lines_of(file)] == ["before", "cache.invalidate"]

    def test_a_line_is_in_the_file_when_emit_returns_and_a_rotated_file_is_made_anew(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        emitter = emitter_for(LoggingConfig(file=str(file)))
        emitter.emit(events.INVALIDATE, model="first")
        file.rename(tmp_path / "cache.log.1")
        emitter.emit(events.INVALIDATE, model="second")
        assert [line["model"] for line in lines_of(file)] == ["second"]

    def test_a_relative_file_stays_where_it_was_when_the_process_changes_its_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        emitter = emitter_for(LoggingConfig(file="cache.log"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        emitter.emit(events.INVALIDATE)
        assert len(lines_of(tmp_path / "cache.log")) == 1

    def test_lines_of_many_threads_never_mix(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        emitter = emitter_for(LoggingConfig(file=str(file)))
        threads = [threading.Thread(target=tell, args=(emitter, f"t{number}", 200)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_each_told(lines_of(file), {f"t{number}": 200 for number in range(8)})

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which this system doesn't have")
    def test_lines_of_forked_processes_never_mix_and_none_is_written_twice(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        emitter = emitter_for(LoggingConfig(file=str(file)))
        emitter.emit(events.INVALIDATE, model="parent")
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=tell, args=(emitter, f"c{number}", 200)) for number in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
        assert_each_told(lines_of(file), {"parent": 1, **{f"c{number}": 200 for number in range(4)}})

    @pytest.mark.parametrize("name", ["no-such-folder/cache.log", "a-file/cache.log", "", "nul\0.log"])
    def test_a_file_that_cannot_be_appended_to_is_refused_by_its_path(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "a-file").touch()
        path = str(tmp_path / name)
        with pytest.raises(ConfigurationError, match=r"logging\.file: can't append to ") as refused:
            hook_for(LoggingConfig(file=path))
        assert repr(path) in str(refused.value)

    def test_an_unknown_level_or_format_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"logging\.level: expected one of debug, info, .*, found 'loud'"):
            hook_for(LoggingConfig(level="loud"))  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"logging\.format: expected one of json, console, found 'xml'"):
            hook_for(LoggingConfig(format="xml"))  # type: ignore[arg-type]

    def test_the_applications_structlog_is_neither_used_nor_changed(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        emitter = emitter_for(LoggingConfig(file=str(file)))
        emitter.emit(events.INVALIDATE)
        assert not structlog.is_configured()
        with structlog.testing.capture_logs() as captured:
            emitter.emit(events.INVALIDATE)
        assert not captured
        assert len(lines_of(file)) == 2

    def test_what_the_application_bound_to_the_context_comes_last(self, tmp_path: Path) -> None:
        file = tmp_path / "cache.log"
        with structlog.contextvars.bound_contextvars(request_id="r1", op="the application's"):
            emitter_for(LoggingConfig(file=str(file))).emit(events.INVALIDATE, op="commit")
        (line,) = lines_of(file)
        assert list(line) == ["timestamp", "level", "event", "cache", "op", "request_id"]
        assert line["op"] == "commit"


class TestApplicationsStructlog:
    """Without a table, where the application has configured structlog."""

    def test_it_is_told_at_the_events_level(self) -> None:
        with structlog.testing.capture_logs() as captured:
            emitter = emitter_for(None)
            emitter.emit(events.HIT, model="products", op="get")
            emitter.emit(events.DEGRADED, reason="timeout")
        assert captured == [
            {"event": "cache.hit", "log_level": "debug", "cache": "default", "model": "products", "op": "get"},
            {"event": "cache.degraded", "log_level": "warning", "cache": "default", "reason": "timeout"},
        ]

    def test_its_level_is_honoured_and_a_later_change_is_noticed(self) -> None:
        emitter = emitter_for(None)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
        if hasattr(structlog.make_filtering_bound_logger(logging.INFO), "is_enabled_for"):  # since structlog 25.1
            assert not emitter.wants(events.HIT)
        assert emitter.wants(events.INVALIDATE)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
        assert emitter.wants(events.HIT)

    def test_structlog_over_stdlib_has_the_name_and_the_level_of_our_logger(self, caplog: pytest.LogCaptureFixture) -> None:
        structlog.configure(
            processors=[structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer()],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
        emitter = emitter_for(None)
        caplog.set_level(logging.INFO, "aa_cache_integration")
        assert not emitter.wants(events.HIT)
        emitter.emit(events.INVALIDATE)
        assert [(record.name, record.levelname) for record in caplog.records] == [("aa_cache_integration", "INFO")]

    @pytest.mark.parametrize("wrapper", [structlog.BoundLogger, structlog.stdlib.BoundLogger])
    def test_a_logger_that_cannot_tell_its_level_is_told_all(self, wrapper: Any, capsys: pytest.CaptureFixture[str]) -> None:
        structlog.configure(processors=[structlog.processors.JSONRenderer()], wrapper_class=wrapper)
        emitter = emitter_for(None)
        assert emitter.wants(events.HIT)
        assert not capsys.readouterr().out, "asking logs nothing"
        emitter.emit(events.HIT)
        assert json.loads(capsys.readouterr().out)["event"] == "cache.hit"

    async def test_an_asynchronous_logger_is_used_without_awaiting(self, caplog: pytest.LogCaptureFixture) -> None:
        structlog.configure(
            processors=[structlog.processors.KeyValueRenderer()],
            wrapper_class=structlog.stdlib.AsyncBoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
        with caplog.at_level(logging.DEBUG, "aa_cache_integration"):
            emitter_for(None).emit(events.HIT)
        assert "cache.hit" in caplog.text


class TestStdlibLogging:
    """Without a table, where structlog isn't configured."""

    def test_the_message_is_readable_and_the_fields_are_attributes(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "aa_cache_integration"):
            emitter_for(None).emit(events.BYPASS, model="products", op="get", reason="lease held", count=0)
        (record,) = caplog.records
        assert record.name == "aa_cache_integration"
        assert record.levelno == logging.DEBUG
        assert record.getMessage() == 'cache.bypass cache=default model=products op=get reason="lease held" count=0'
        assert record.__dict__["aa_cache.reason"] == "lease held"
        assert "aa_cache.key" not in record.__dict__

    def test_the_level_is_honoured_and_a_later_change_is_noticed(self, caplog: pytest.LogCaptureFixture) -> None:
        emitter = emitter_for(None)
        caplog.set_level(logging.WARNING, "aa_cache_integration")
        assert not emitter.wants(events.INVALIDATE)
        assert emitter.wants(events.DEGRADED)
        caplog.set_level(logging.DEBUG, "aa_cache_integration")
        assert emitter.wants(events.HIT)

    def test_structlog_configured_later_takes_over(self, caplog: pytest.LogCaptureFixture) -> None:
        emitter = emitter_for(None)
        with caplog.at_level(logging.DEBUG, "aa_cache_integration"):
            emitter.emit(events.HIT)
            with structlog.testing.capture_logs() as captured:
                emitter.emit(events.MISS)
        assert [record.getMessage() for record in caplog.records] == ["cache.hit cache=default"]
        assert [line["event"] for line in captured] == ["cache.miss"]

    def test_it_is_the_default_for_every_cache(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "aa_cache_integration"):
            Emitter("default").emit(events.INVALIDATE, model="products")
        assert caplog.messages == ["cache.invalidate cache=default model=products"]


def tell(emitter: Emitter, model: str, times: int) -> None:
    for number in range(times):
        emitter.emit(events.INVALIDATE, model=model, count=number, key="k" * 200)


def assert_each_told(lines: list[dict[str, Any]], expected: dict[str, int]) -> None:
    told: dict[str, int] = {}
    for line in lines:
        told[line["model"]] = told.get(line["model"], 0) + 1
    assert told == expected
