"""SQL expressions whose value isn't the rows' alone: they change with the clock, with chance, or with who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BindParameter, ColumnClause, TextClause
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.schema import Column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

__all__ = ("is_volatile",)

_TIME = """
    now current_timestamp current_date current_time localtime localtimestamp clock_timestamp statement_timestamp transaction_timestamp
    timeofday sysdate systimestamp sysutcdatetime getdate getutcdate utc_date utc_time utc_timestamp unix_timestamp curdate curtime
"""
_CHANCE = "random rand randomblob gen_random_uuid uuid uuid_generate_v1 uuid_generate_v4 uuid_short newid newsequentialid"
_WHO = """
    current_user session_user user current_role current_schema current_database current_setting current_catalog connection_id
    pg_backend_pid txid_current pg_current_xact_id inet_client_addr suser_sname sys_context
"""
_STATE = "nextval currval lastval setval next_value last_insert_id last_insert_rowid changes total_changes found_rows row_count"
_VOLATILE = frozenset(f"{_TIME} {_CHANCE} {_WHO} {_STATE}".split())


def is_volatile(expressions: Iterable[ColumnElement[Any]]) -> bool:
    """Whether any of these calls a function of the clock, of chance or of the connection, or is text that can't be seen through."""
    return any(_calls(expression) for expression in expressions if not isinstance(expression, Column))


def _calls(expression: ColumnElement[Any]) -> bool:
    for element in visitors.iterate(expression):
        if isinstance(element, FunctionElement) and _name(element) in _VOLATILE:
            return True
        if isinstance(element, BindParameter) and isinstance(element.value, str) and element.value.lower() == "now":
            return True  # SQLite: date('now')
        if isinstance(element, TextClause) or (isinstance(element, ColumnClause) and element.is_literal):
            return True  # it may call anything, and read tables that nobody knows
    return False


def _name(function: FunctionElement[Any]) -> str:
    return str(getattr(function, "name", type(function).__name__)).lower()
