"""navi's tools without a service: arithmetic, the reference of the metrics, and the toolbox."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.tools.calculator import Calculator
from agents.tools.mcp_servers import McpServer, McpServers
from agents.tools.metric_reference import MetricReference
from agents.tools.toolbox import Finding, Toolbox, ToolError
from telemetry.agentos.catalogue import AGENTOS
from telemetry.metric import Catalogue, closed_label, counter, histogram

CALCULATOR = Calculator()
ASKED = ContextVar("asked")


async def calculator():
    return [CALCULATOR]


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("What is (3 + 4) * 12?", "(3 + 4) * 12 = 84"),
        ("0.1+0.2", "0.1+0.2 = 0.3"),
        ("7/3 of it", "7/3 = 2.333333333333333333333333333"),
        ("-3 * (2 - 5)!", "-3 * (2 - 5) = 9"),
        ("what are 10 % 3 and 5 // 2", "10 % 3 = 1"),
        ("2**10", "2**10 = 1024"),
        ("(see 2 * 3))", "2 * 3 = 6"),
        ("0 * 5", "0 * 5 = 0"),
        ("0.12345678901234567890 * 1", "0.12345678901234567890 * 1 = 0.1234567890123456789"),
        ("-7 // 2", "-7 // 2 = -4"),
        ("-7 % 3", "-7 % 3 = 2"),
        ("7 % -3", "7 % -3 = -2"),
        ("-6 // 3", "-6 // 3 = -2"),
        ("1.5e3, or 2 + 3, if you like", "2 + 3 = 5"),
        ("2 ** 200", "2 ** 200 = 1.606938044258990275541962092E+60"),
    ],
)
async def test_first_expression_of_a_question_is_calculated(question, result):
    """Decimal arithmetic with 28 digits, in the usual order of operators."""
    argument = CALCULATOR.argument(question)
    assert argument is not None
    assert await CALCULATOR.call(argument) == result


@pytest.mark.parametrize(
    "question",
    [
        "",
        "how many?",
        "on 2026-11-27",
        "pages 3-4",
        "60/minute",
        "version 3.5",
        "call 555-1234",
        "7",
        "()",
        "1 +",
        "__import__('os')",
        "1,000 * 2",
        "2 * 1,000",
        "1.5e3 * 2",
        "1 + 2 * 1e3",
        "1_000 * 2",
        "0x10 * 2",
        ".5 + 1",
        "+".join(["1"] * 150),
    ],
)
def test_question_without_arithmetic_has_nothing_for_the_calculator(question):
    """Dates, ranges, rates and single numbers are no arithmetic, and no part of a number or expression stands for the whole."""
    assert CALCULATOR.argument(question) is None


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 / 0", "it divides by zero"),
        ("5 // (2 - 2)", "it divides by zero"),
        ("0 ** 0", "its result is undefined or too large"),
        ("9 ** 9 ** 9", "its result is undefined or too large"),
        ("(0 - 1) ** 0.5", "its result is undefined or too large"),
        ("abs(3)", "this is no arithmetic expression"),
        ("a + 1", "this is no arithmetic expression"),
        ("True + 1", "this is no arithmetic expression"),
        ("'a' * 3", "this is no arithmetic expression"),
        ("1 if 1 else 2", "this is no arithmetic expression"),
        ("1 << 5", "this is no arithmetic expression"),
        (" + ".join(["1"] * 60), "this is no arithmetic expression"),
        ("(" * 150 + "1" + ")" * 150 + " + 1 +", "this is no arithmetic expression"),
    ],
)
async def test_what_has_no_result_is_an_error_of_the_tool(expression, reason):
    """Undefined, too large, and anything but numbers and operators: a sentence, and nothing is run."""
    with pytest.raises(ToolError) as failed:
        await CALCULATOR.call(expression)
    assert (str(failed.value), failed.value.error_type) == (reason, "tool_error")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789+-*/%(). ab", max_size=80))
@example("9" * 200 + " ** " + "9" * 200)
@example("9**9**9**9**9**9")
@example("((((((((((((((((((((1 + 1")
def test_any_text_is_calculated_or_refused(text):
    """No text is another exception than the tool's own, and an argument that is found is an expression."""
    argument = CALCULATOR.argument(text)
    if argument is not None:
        finding = asyncio.run(Toolbox(calculator).use(text))[0]
        assert finding.text.startswith(f"{argument} = ") or finding.text in (
            "it divides by zero",
            "its result is undefined or too large",
        )


@pytest.mark.parametrize("text", ["(" * 10**6, "1+" * 10**6, "1 " * 10**6, "9" * 10**6, "-1" * 10**6])
def test_long_texts_take_no_long_time(text):
    """A question of a megabyte is looked through in a fraction of a second."""
    begun = time.monotonic()
    CALCULATOR.argument(text)
    assert time.monotonic() - begun < 1


SHOP = Catalogue(
    [
        counter("orders", "{order}", "Orders that customers placed", closed_label("result", "how", "paid", "refused")),
        histogram("checkout.duration", "s", "Time that customers wait", bounds=(1, 2)),
        counter("returns", "{order}", "Orders that came back"),
        counter("visits", "{visit}", "Customers who came"),
    ]
)


def test_metrics_are_found_by_name_first_and_then_by_help():
    """A word of the name weighs three of the help text; three metrics at most, each with kind, labels and help."""
    assert MetricReference(SHOP).find("How many ORDERS did the customers place?").splitlines() == [
        "orders_total (counter by result): Orders that customers placed",
        "checkout_duration_seconds (histogram): Time that customers wait",
        "returns_total (counter): Orders that came back",
    ]


def test_question_that_fits_no_metric_says_so():
    """Words that every question has find nothing."""
    assert MetricReference(AGENTOS).find("How is the what of it?") == "no metric fits this question"


class Scripted:
    """A tool that does what a test says."""

    description = "does what a test says"
    kind = "function"
    timeout = 0.05

    def __init__(self, name: str, does) -> None:
        self.name = name
        self._does = does

    def argument(self, question: str) -> str | None:
        return None if self.name == "silent" else question

    async def call(self, argument: str) -> str:
        if isinstance(self._does, BaseException):
            raise self._does
        if self._does is None:
            await asyncio.Event().wait()
        return self._does


async def test_toolbox_uses_its_tools_at_once_and_keeps_their_order(caplog):
    """Each tool is a finding, in order: its text up to 4,000 characters, or why it failed, without a library's own words."""
    tools = [
        Scripted("slow", None),
        Scripted("long", "x" * 5000),
        Scripted("silent", "unused"),
        Scripted("own", ToolError("it is closed")),
        Scripted("other", ValueError("s3cret")),
    ]

    async def listed():
        return tools

    assert await Toolbox(listed).use("why?") == [
        Finding("slow", "it did not answer in time", failed=True),
        Finding("long", "x" * 3999 + "…"),
        Finding("own", "it is closed", failed=True),
        Finding("other", "ValueError", failed=True),
    ]
    assert "s3cret" not in caplog.text


async def test_sessions_outlive_the_question_that_opens_them():
    """Servers that the first question starts do not run in its context: its trace would go on with each of their requests."""
    found = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def opened(lost):
        found.set_result(ASKED.get(None))
        yield None

    servers = McpServers([McpServer("wiki", opened)])
    async with servers.lifespan():
        ASKED.set("a question")
        servers.start()
        assert await found is None
