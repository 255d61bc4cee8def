"""Which faults a file offers: each kind once, and none in what is only said or declared."""

import ast

import pytest

from tests.faults.mutations import faults_in


def changes(body: str) -> set[str]:
    """What changes in a function with this body, without the faults of its `return`."""
    source = f"def f(a, b, c):\n    {body}\n".encode()
    faults = faults_in(source)
    for fault in faults:
        assert fault.function == "f"
        assert fault.line == body.splitlines()[fault.line_number - 2].strip()
        ast.parse(fault.apply(source))
    return {fault.change for fault in faults if not fault.change.startswith("return")}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("a < b", {"a < b -> a <= b", "a < b -> a >= b"}),
        ("a == b", {"a == b -> a != b"}),
        ("a is not b", {"a is not b -> a is b"}),
        ("a in b", {"a in b -> a not in b"}),
        ("a and b", {"a and b -> a or b"}),
        ("not a", {"not a -> a"}),
        ("a + b", {"a + b -> a - b"}),
        ("a // b", {"a // b -> a * b"}),
        ("a -= b", {"a -= b -> a += b"}),
        ("-a", {"-a -> a"}),
        ("a(7)", {"7 -> 8", "7 -> -7"}),
        ("a(0)", {"0 -> 1"}),
        ("a(True)", {"True -> False"}),
        ("min(a)", {"min(a) -> max(a)"}),
        ("a.maximum(b)", {"a.maximum(b) -> a.minimum(b)"}),
        ("while a: break", {"a -> not a", "break -> continue"}),
        ("if a: b", {"a -> not a"}),
        ("if not a: b", {"not a -> a"}),
        ("[a for a in b if c]", {"c -> not c"}),
        ("a.sum(axis=1)", {"1 -> 2"}),
    ],
)
def test_every_kind_of_fault(body, wanted):
    assert changes(body) == wanted


def test_a_return_returns_nothing():
    source = b"def f(a):\n    return (\n        a\n    )\n"
    (fault,) = faults_in(source)
    assert fault.change == "return a -> return None"
    assert fault.apply(source) == b"def f(a):\n    return None\n"
    assert faults_in(b"def f(a):\n    return None\n") == []
    (turned,) = faults_in(b"def f(a):\n    return False\n")
    assert turned.change == "False -> True"


@pytest.mark.parametrize(
    "body",
    [
        '"""a < b"""',
        "raise ValueError(a + 1)",
        "assert a < b",
        "a = f'{b + 1}'",
        "log.info(a + 1)",
        "warnings.warn(a, stacklevel=2)",
        "zip(a, b, strict=True)",
        "x: Literal[1]",
        "def g(x=1) -> Literal[2]: x",
        "'a' + b",
    ],
)
def test_what_is_only_said_or_declared_is_left_alone(body):
    assert changes(body) == set()


def test_constants_fields_and_descriptions_are_left_alone():
    source = b"""
LIMIT = 3
if TYPE_CHECKING:
    import x
class A:
    size: int = 3
    def __repr__(self):
        return 1 + 2
    def size(self):
        return self.x
"""
    (fault,) = faults_in(source)
    assert (fault.function, fault.line_number) == ("A.size", 10)


def test_what_stands_behind_other_letters_is_found_by_its_bytes():
    source = "def f(a):\n    'größer'; a < 1\n".encode()
    assert faults_in(source)[0].apply(source) == "def f(a):\n    'größer'; (a <= 1)\n".encode()


def test_functions_can_be_left_out():
    source = b"def f(a):\n    -a\ndef g(a):\n    -a\n"
    (fault,) = faults_in(source, lambda node: getattr(node, "name", "") == "f")
    assert fault.function == "g"
