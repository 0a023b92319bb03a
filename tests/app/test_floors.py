"""What keeps the floors apart and import-linter cannot see."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import app

_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|PRAGMA|CREATE|DROP|ALTER|VACUUM|BEGIN|COMMIT|WITH)\b")
_RUNS_SQL = {"execute", "executemany", "executescript", "query"}


def statements(tree):
    """Every text in a module that SQLite would take, and every call that would hand it one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value):
            yield node.lineno, node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _RUNS_SQL:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.JoinedStr | ast.BinOp) or (
                isinstance(first, ast.Constant) and " " in str(first.value)
            ):
                yield node.lineno, ast.unparse(node)


def test_sql_lives_in_storage_alone():
    sources = sorted(Path(app.__file__).parent.rglob("*.py"))
    found = {path.name: list(statements(ast.parse(path.read_text(encoding="utf-8")))) for path in sources}
    assert {name: some for name, some in found.items() if some} == {}


def test_sql_is_found_where_there_is_some():
    found = ast.parse(
        'def f(db, t):\n    db.execute(f"UPDATE {t} SET x")\n    db.query("SELECT 1")\n    screen.query(Static)'
    )
    assert {line for line, _ in statements(found)} == {2, 3}
