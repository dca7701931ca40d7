"""Conditions on a catalogue's columns, as a person writes them: ``snr_muse > 80 and quality in ("good", "check")``."""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from processing.errors import StellacubeError

_HINT = (
    "Write comparisons of columns with numbers or texts, joined by and, or, not; "
    "abs, sqrt, log10, median and scatter may be used."
)
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, choices: np.isin(value, choices),
    ast.NotIn: lambda value, choices: ~np.isin(value, choices),
}


def scatter(values: np.ndarray) -> float:
    """Half of the 15.87-84.13 % range of what is finite."""
    low, high = np.nanpercentile(values, (15.87, 84.13))
    return float(high - low) / 2


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log10": np.log10,
    "median": np.nanmedian,
    "scatter": scatter,
}


@dataclass(frozen=True)
class Condition:
    """A condition, read and checked.

    Parameters
    ----------
    text : str
        As it was written.
    columns : tuple of str
        Columns that it needs, in the order of their appearance.
    """

    text: str
    columns: tuple[str, ...]
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises
        ------
        StellacubeError
            If it is none, or holds more than comparisons, arithmetic and the known functions.
        """
        try:
            tree = ast.parse(text.strip().replace("\n", " "), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise StellacubeError(f"{text!r} cannot be read as a condition.", _HINT) from error
        if not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Name):
            raise StellacubeError(f"{text!r} is no condition.", _HINT)
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called]
        names.sort(key=lambda node: node.col_offset)
        condition = cls(text.strip(), tuple(dict.fromkeys(node.id for node in names)), tree)
        condition._evaluate(tree, dict.fromkeys((*condition.columns, "")))
        if not names:
            raise StellacubeError(f"{text!r} names no column.", _HINT)
        return condition

    def holds(self, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return where the condition holds among a table's rows, boolean array; not where a number is missing.

        Parameters
        ----------
        table : mapping of str to ndarray, shape (n,)
            Has all of `columns`; ``median`` and ``scatter`` are taken over these rows.

        Raises
        ------
        StellacubeError
            If numbers are compared with texts.
        """
        known = ~self.missing(table)
        if not known.any():
            return known
        try:
            with np.errstate(all="ignore"):
                result = np.asarray(self._evaluate(self._tree, table))
        except (TypeError, np.exceptions.DTypePromotionError) as error:
            raise StellacubeError(f"{self.text!r} compares a text with a number.", _HINT) from error
        if result.dtype != bool:
            raise StellacubeError(f"{self.text!r} is true or false of no star.", _HINT)
        return known & np.broadcast_to(result, known.shape)

    def missing(self, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return where one of the columns has no number, boolean array."""
        values = [np.asarray(table[name]) for name in self.columns]
        return reduce(operator.or_, [np.isnan(v) if v.dtype.kind == "f" else np.zeros(v.shape, bool) for v in values])

    def _evaluate(self, node: ast.expr, table: Mapping[str, Any]) -> Any:
        """Return the value of a part of the condition; without values in `table` it is only checked."""
        empty = any(value is None for value in table.values())
        match node:
            case ast.BoolOp():
                parts = [self._evaluate(value, table) for value in node.values]
                join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
                return None if empty else reduce(join, map(np.asarray, parts))
            case ast.UnaryOp(op=ast.Not()):
                value = self._evaluate(node.operand, table)
                return None if empty else ~np.asarray(value, bool)
            case ast.UnaryOp(op=ast.USub()):
                value = self._evaluate(node.operand, table)
                return None if empty else -value
            case ast.Compare() if all(type(op) in _COMPARISONS for op in node.ops):
                values = [self._evaluate(value, table) for value in (node.left, *node.comparators)]
                if empty:
                    return None
                pairs = zip(node.ops, values[:-1], values[1:], strict=True)
                return reduce(operator.and_, [np.asarray(_COMPARISONS[type(op)](a, b)) for op, a, b in pairs])
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                left, right = self._evaluate(node.left, table), self._evaluate(node.right, table)
                return None if empty else _ARITHMETIC[type(node.op)](left, right)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS and len(node.args) == 1:
                argument = self._evaluate(node.args[0], table)
                return None if empty else _FUNCTIONS[name](argument)
            case ast.Tuple() | ast.List():
                return [self._evaluate(value, table) for value in node.elts]
            case ast.Name():
                return None if empty else np.asarray(table[node.id])
            case ast.Constant() if isinstance(node.value, int | float | str):
                return node.value
        raise StellacubeError(f"{self.text!r} holds what cannot be used here: {ast.unparse(node)}.", _HINT)


def check_columns(condition: Condition, columns: list[str]) -> None:
    """Raise a StellacubeError that names the columns which a table lacks."""
    for name in condition.columns:
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=1)
            raise StellacubeError(
                f"The catalogue has no column {name}, which {condition.text!r} needs.",
                f"Did you mean {close[0]}?" if close else f"It has {', '.join(columns)}.",
            )
