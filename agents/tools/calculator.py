"""A calculator: the first arithmetic expression of a question, evaluated exactly and within bounds."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext

from agents.tools.toolbox import ToolError

__all__ = ["Calculator"]

_QUESTION_CHARACTERS = 10_000
"""Characters of a question that are looked through."""
_EXPRESSION_CHARACTERS = 220
_EXPRESSION = re.compile(r"(?<![\w.])(?<!\d,)[(-]{0,20}\d[\d\s.()+*/%-]*")
_GOES_ON = re.compile(r"\w|,\d")
"""After a digit: the number is written in a way that is not read, such as 1,000 or 1e3."""


def _floor_divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Rounds down, as ``//`` does; that of decimals rounds towards 0."""
    quotient, rest = dividend // divisor, dividend % divisor
    return quotient - 1 if rest and (rest < 0) != (divisor < 0) else quotient


def _modulo(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Has the divisor's sign, as ``%`` does; that of decimals has the dividend's."""
    rest = dividend % divisor
    return rest + divisor if rest and (rest < 0) != (divisor < 0) else rest


_BINARY: Mapping[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: _floor_divide,
    ast.Mod: _modulo,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Decimal], Decimal]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_ARITHMETIC = Context(prec=28, Emax=999, Emin=-999, traps=[DivisionByZero, InvalidOperation, Overflow])
"""28 significant digits: no operation takes long, whatever its numbers are."""
_NODES = 100
"""Numbers and operators of an expression at most."""


class Calculator:
    """Evaluates numbers with ``+ - * / // % **`` and parentheses to 28 digits. A question's text is parsed, never run."""

    name = "calculate"
    description = "Evaluates an arithmetic expression."
    kind = "function"
    timeout = 1.0

    def argument(self, question: str) -> str | None:
        """Returns the first expression with an operator; a date or a range such as 3-4 is none."""
        for found in _EXPRESSION.finditer(question[:_QUESTION_CHARACTERS]):
            run = found[0]
            if len(run) > _EXPRESSION_CHARACTERS or (run[-1].isdigit() and _GOES_ON.match(question, found.end())):
                continue
            text = _closed(run)
            if re.search(r"\d[\s)]*(?:[+*/%]|\s-\s)", text) and not re.search(r"\d-\d", text) and _parsed(text) is not None:
                return text
        return None

    async def call(self, argument: str) -> str:
        """Returns ``expression = result``. Raises ``ToolError`` where there is no result."""
        tree = _parsed(argument)
        if tree is None:
            raise ToolError("this is no arithmetic expression")
        try:
            with localcontext(_ARITHMETIC):
                result = _evaluated(tree.body, argument)
        except DivisionByZero:
            raise ToolError("it divides by zero") from None
        except ArithmeticError:
            raise ToolError("its result is undefined or too large") from None
        return f"{argument} = {_shown(result)}"


def _closed(text: str) -> str:
    """The text without what cannot end an expression, and without parentheses that nothing opens or closes."""
    text = text.rstrip(" \t\r\n.+*/%-(")
    while text.count("(") > text.count(")") and text.startswith("("):
        text = text[1:]
    while text.count(")") > text.count("(") and text.endswith(")"):
        text = text[:-1].rstrip(" \t\r\n.+*/%-(")
    return " ".join(text.split())


def _parsed(text: str) -> ast.Expression | None:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if sum(1 for _ in ast.walk(tree)) <= _NODES and _is_arithmetic(tree.body) else None


def _is_arithmetic(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) in _BINARY and _is_arithmetic(node.left) and _is_arithmetic(node.right)
    if isinstance(node, ast.UnaryOp):
        return type(node.op) in _UNARY and _is_arithmetic(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _evaluated(node: ast.expr, text: str) -> Decimal:
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_evaluated(node.left, text), _evaluated(node.right, text))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_evaluated(node.operand, text))
    return Decimal(ast.get_source_segment(text, node) or "")  # as it is written: the parser's float has 17 digits


def _shown(number: Decimal) -> str:
    if number == 0:
        return "0"
    plain = number.normalize(_ARITHMETIC)
    return f"{plain:f}" if -10 < plain.adjusted() < 28 else str(plain)
