"""Who is told of events, and what happens when a hook misbehaves."""

from __future__ import annotations

import logging
import threading
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import pytest

from aa_cache_integration import events
from aa_cache_integration.events import CacheEvent, Emitter, HookFactory, get_hooks, set_hooks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RecordedEvents


@pytest.fixture(autouse=True)
def _default_hooks_afterwards() -> Iterator[None]:
    yield
    set_hooks(None)


class Only:
    """A hook that wants events of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[CacheEvent] = []

    def wants(self, name: str) -> bool:
        return name == self.name

    def __call__(self, event: CacheEvent) -> None:
        self.told.append(event)


class Failing:
    """A hook that raises wherever it can."""

    def __init__(self, *, when_asked: bool = False) -> None:
        self.when_asked = when_asked
        self.calls = 0

    def wants(self, name: str) -> bool:
        if self.when_asked:
            raise OSError("asked too much")
        return True

    def __call__(self, event: CacheEvent) -> None:
        self.calls += 1
        raise OSError("disk full")


def test_an_event_has_the_fields_it_was_told_with(recorded_events: RecordedEvents) -> None:
    Emitter("default", "eu").emit(
        events.HIT, model="products", op="get_entity", key="aa:products:get:5", reason="fresh", count=3, took_ms=0.5
    )
    assert recorded_events == [
        CacheEvent(
            name="cache.hit",
            cache="default",
            bind_group="eu",
            model="products",
            op="get_entity",
            key="aa:products:get:5",
            reason="fresh",
            count=3,
            took_ms=0.5,
        )
    ]


def test_an_event_cannot_be_changed() -> None:
    event = CacheEvent(events.HIT, "default")
    with pytest.raises(FrozenInstanceError):
        event.cache = "other"  # type: ignore[misc]


def test_the_fields_that_are_none_are_left_out_and_zero_is_not() -> None:
    assert CacheEvent(events.HIT, "default", op="get", count=0).fields() == {"cache": "default", "op": "get", "count": 0}


def test_no_field_holds_a_value() -> None:
    assert events.FIELDS == ("cache", "bind_group", "model", "op", "key", "reason", "count", "took_ms")


def test_another_bind_group_than_the_managers_own_can_be_told(recorded_events: RecordedEvents) -> None:
    emitter = Emitter("default", "eu")
    emitter.emit(events.HIT)
    emitter.emit(events.HIT, bind_group="us")
    emitter.emit(events.HIT, bind_group=None)
    assert [event.bind_group for event in recorded_events] == ["eu", "us", None]


def test_a_hook_is_told_only_what_it_wants() -> None:
    hook = Only(events.MISS)
    emitter = Emitter(hooks=[hook])
    emitter.emit(events.HIT)
    emitter.emit(events.MISS)
    assert [event.name for event in hook.told] == ["cache.miss"]


def test_one_event_object_goes_to_all_hooks() -> None:
    hooks = [Only(events.HIT), Only(events.MISS), Only(events.HIT)]
    Emitter(hooks=hooks).emit(events.HIT)
    assert hooks[0].told[0] is hooks[2].told[0]


def test_an_event_that_nobody_wants_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*_: object) -> None:
        raise AssertionError("an event was built")

    monkeypatch.setattr("aa_cache_integration.events.hooks.CacheEvent", built)
    Emitter(hooks=[Only(events.MISS)]).emit(events.HIT)
    Emitter(hooks=[]).emit(events.HIT)


def test_wants_tells_whether_any_hook_would_use_the_event() -> None:
    emitter = Emitter(hooks=[Only(events.HIT), Only(events.MISS)])
    assert emitter.wants(events.HIT)
    assert emitter.wants(events.MISS)
    assert not emitter.wants(events.FILL)
    assert not Emitter(hooks=[]).wants(events.HIT)


def test_hooks_set_later_are_heard_by_the_emitters_that_already_are(recorded_events: RecordedEvents) -> None:
    emitter = Emitter()
    hook = Only(events.HIT)
    set_hooks([hook])
    emitter.emit(events.HIT)
    assert hook.told
    assert not recorded_events


def test_an_emitter_with_hooks_of_its_own_tells_those_that_the_application_chose_as_well(recorded_events: RecordedEvents) -> None:
    hook = Only(events.HIT)
    Emitter(hooks=[hook]).emit(events.HIT)
    assert hook.told == recorded_events != []


def test_an_emitter_with_hooks_of_its_own_leaves_the_default_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "aa_cache_integration")
    Emitter(hooks=[Only(events.HIT)]).emit(events.HIT)
    assert not caplog.records


def test_no_hooks_means_that_nobody_is_told() -> None:
    set_hooks(())
    assert get_hooks() == ()
    assert not Emitter().wants(events.DEGRADED)


def test_setting_none_brings_the_default_back() -> None:
    set_hooks(())
    set_hooks(None)
    assert len(get_hooks()) == 1
    assert Emitter().wants(events.DEGRADED)


def test_a_factory_is_called_once_and_not_before_the_first_event() -> None:
    hook = Only(events.HIT)
    calls = []

    def build() -> Only:
        calls.append(1)
        return hook

    emitter = Emitter(hooks=[HookFactory(build)])
    assert not calls
    emitter.emit(events.HIT)
    emitter.emit(events.HIT)
    assert len(calls) == 1
    assert len(hook.told) == 2


def test_an_event_told_while_hooks_are_built_does_not_build_them_again() -> None:
    hook = Only(events.HIT)

    def build() -> Only:
        emitter.emit(events.HIT)
        return hook

    emitter = Emitter(hooks=[HookFactory(build)])
    emitter.emit(events.HIT)
    assert len(hook.told) == 1


def test_threads_that_tell_the_first_event_at_once_build_the_hooks_once() -> None:
    hook = Only(events.HIT)
    calls = []
    about_to_emit = threading.Event()

    def tell() -> None:
        about_to_emit.set()
        emitter.emit(events.HIT)

    other = threading.Thread(target=tell)

    def build() -> Only:
        calls.append(1)
        if len(calls) == 1:
            other.start()
            about_to_emit.wait()
        return hook

    emitter = Emitter(hooks=[HookFactory(build)])
    emitter.emit(events.HIT)
    other.join()
    assert len(calls) == 1
    assert len(hook.told) == 2


def test_a_hook_that_raises_breaks_nothing_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    failing, well = Failing(), Only(events.HIT)
    emitter = Emitter(hooks=[failing, well])
    emitter.emit(events.HIT)
    emitter.emit(events.HIT)
    assert len(well.told) == 2
    assert failing.calls == 2, "a hook that failed stays in place"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Failing" in caplog.text
    assert "disk full" in caplog.text


def test_a_hook_that_raises_when_asked_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter(hooks=[Failing(when_asked=True), Only(events.HIT)])
    assert emitter.wants(events.HIT)
    emitter.emit(events.HIT)
    assert len(caplog.records) == 1
    assert "asked too much" in caplog.text


def test_a_factory_that_raises_breaks_nothing_and_the_other_hooks_are_told(caplog: pytest.LogCaptureFixture) -> None:
    def build() -> Only:
        raise OSError("no such exporter")

    hook = Only(events.HIT)
    Emitter(hooks=[HookFactory(build), hook]).emit(events.HIT)
    assert hook.told
    assert "no such exporter" in caplog.text


def test_a_hook_that_fails_while_logging_fails_too_still_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no logging either")

    monkeypatch.setattr(logging.Logger, "handle", broken)
    Emitter(hooks=[Failing()]).emit(events.DEGRADED)


def test_a_keyboard_interrupt_in_a_hook_is_not_swallowed() -> None:
    class Interrupted(Only):
        def __call__(self, event: CacheEvent) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Emitter(hooks=[Interrupted(events.HIT)]).emit(events.HIT)
