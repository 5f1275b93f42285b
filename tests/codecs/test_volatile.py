"""What can't be cached, because it doesn't depend on the rows alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Integer, String, func, select, text
from sqlalchemy.orm import column_property, registry

from aa_cache_integration.codecs.mapper import codec_for

if TYPE_CHECKING:
    from collections.abc import Callable


def model(expression: Callable[[Any], Any]) -> type[Any]:
    """Return a class with one column expression."""
    mapped = registry()
    Base = mapped.generate_base()  # noqa: N806 - a class

    class Row(Base):  # type: ignore[misc, valid-type]
        __tablename__ = "rows"
        id = Column(Integer, primary_key=True)
        name = Column(String)
        extra = column_property(expression(name))

    return Row


@pytest.mark.parametrize(
    "expression",
    [
        lambda name: func.now(),
        lambda name: func.lower(name) + func.current_user(),
        lambda name: func.random() * 2,
        lambda name: func.date("now"),
        lambda name: select(func.count()).where(func.current_setting("app.tenant") == name).scalar_subquery(),
        lambda name: func.coalesce(name, func.localtime()),
        lambda name: select(text("clock_timestamp()")).scalar_subquery(),
    ],
)
def test_a_column_of_the_clock_of_chance_or_of_the_connection_is_seen(expression: Callable[[Any], Any]) -> None:
    assert codec_for(model(expression)).volatile


@pytest.mark.parametrize("expression", [func.lower, lambda name: name + "now and then", lambda name: func.coalesce(name, "x")])
def test_a_column_of_the_row_alone_can_be_cached(expression: Callable[[Any], Any]) -> None:
    assert not codec_for(model(expression)).volatile
