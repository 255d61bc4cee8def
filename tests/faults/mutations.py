"""Small faults that can be put into a source file, one at a time, as a slip of the pen would.

`faults_in` reads a file's syntax tree and lists them. The kinds:

- a comparison loses or gains its boundary, or is turned; `is`, `in` and `==` are turned;
- `and` becomes `or`, a `not` is dropped, a condition (of `if`, `while`, a loop) is negated;
- `+` and `-`, `*` and `/`, `&` and `|` are swapped, `//` and `%` become `*`, a minus is dropped;
- a number becomes one more, or changes its sign (of `axis=` the first alone: the last axis has two
  names); `True` and `False` are swapped;
- `min` and `max`, `any` and `all`, and their namesakes in numpy, are swapped;
- `return` returns None, but where it returned False; `break` and `continue` are swapped.

Left alone is what decides nothing: texts (docstrings, f-strings, messages of errors, logs and
warnings, `__repr__`), annotations, decorators, assertions, `strict=` of `zip`; and what is declared
(constants and tables of a module, fields of classes, defaults of arguments), which is a choice with
a name: a test that repeats it proves nothing.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_PAIRS = [("min", "max"), ("any", "all"), ("minimum", "maximum"), ("argmin", "argmax")]
_NAMES = dict([*_PAIRS, *((second, first) for first, second in _PAIRS)])

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NOT_CALLED = {"Field", "print", "warn"}  # their arguments are texts and declared knobs
_LOGS = {"log", "logger", "logging", "_log", "_LOG", "LOG"}
_TEXTS = {"__repr__", "__str__"}


@dataclass(frozen=True)
class Fault:
    """One change of one expression or statement of a file.

    `function` is the qualified name of what it stands in, `line` the stripped
    text of its first line, and `change` reads "old -> new". Together they name the fault without a
    line number, so that they outlive edits elsewhere in the file and a file that moves.
    """

    function: str
    line: str
    change: str
    line_number: int
    start: int  # in bytes of the file
    end: int
    text: str  # what stands there instead

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def faults_in(
    source: bytes, is_left_out: Callable[[ast.AST], bool] = lambda _: False
) -> list[Fault]:
    """All faults that a file offers, in the order of its tree.

    Args:
        source: The file.
        is_left_out: Asked of each function; a true answer leaves out all that is in it.
    """
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    faults = []
    for function, node, changed in _visit(ast.parse(source), "", is_left_out):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        new = ast.unparse(changed)
        faults.append(
            Fault(
                function,
                lines[node.lineno - 1].decode().strip(),
                f"{ast.unparse(node)} -> {new}",
                node.lineno,
                start,
                end,
                f"({new})" if isinstance(changed, ast.expr) else new,
            )
        )
    return faults


_Node = ast.expr | ast.stmt


def _visit(
    node: ast.AST, function: str, is_left_out: Callable[[ast.AST], bool], is_axis: bool = False
) -> Iterator[tuple[str, _Node, _Node]]:
    """(function, node, the node that stands there instead) of all faults below a node."""
    if isinstance(node, ast.expr | ast.stmt):
        for changed in _changes(node, is_axis):
            yield function, node, changed
    for test in _conditions(node):
        yield function, test, ast.UnaryOp(ast.Not(), test)
    axes = {key.value for key in getattr(node, "keywords", ()) if key.arg == "axis"}
    for child in _children(node):
        inside = function
        if isinstance(child, _DEFINITIONS):
            if child.name in _TEXTS or is_left_out(child):
                continue
            inside = f"{function}.{child.name}".lstrip(".")
        yield from _visit(child, inside, is_left_out, child in axes)


def _children(node: ast.AST) -> Iterable[ast.AST]:
    """What of a node's parts may carry a fault."""
    match node:
        case ast.Module():
            return [child for child in node.body if isinstance(child, _DEFINITIONS)]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return node.body  # not its decorators, annotations and defaults
        case ast.ClassDef():
            return [child for child in node.body if isinstance(child, _DEFINITIONS)]
        case ast.Lambda():
            return [node.body]
        case ast.AnnAssign():
            return [node.value] if node.value else []
        case ast.Raise() | ast.Assert() | ast.JoinedStr():
            return []
        case ast.If() if _is_marker(node.test):
            return node.orelse
        case ast.Call() if _is_text_call(node.func):
            return []
        case ast.Call():
            keywords = [key.value for key in node.keywords if key.arg != "strict"]
            return [node.func, *node.args, *keywords]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            return []  # the sign is one fault; the number is as good as its sign
        case _:
            return ast.iter_child_nodes(node)


def _is_marker(test: ast.expr) -> bool:
    """`if TYPE_CHECKING` and `if __name__ == "__main__"`."""
    names = {name.id for name in ast.walk(test) if isinstance(name, ast.Name)}
    return bool(names & {"TYPE_CHECKING", "__name__"})


def _is_text_call(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        owner = function.value
        return function.attr in _NOT_CALLED or (isinstance(owner, ast.Name) and owner.id in _LOGS)
    return isinstance(function, ast.Name) and function.id in _NOT_CALLED


def _changes(node: _Node, is_axis: bool) -> Iterator[_Node]:
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for turned in _COMPARISONS[type(operator)]:
                    changed = copy.deepcopy(node)
                    changed.ops[place] = turned()
                    yield changed
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield ast.BoolOp(other, node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BinOp() if type(node.op) in _OPERATORS and not _is_text(node):
            yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
        case ast.AugAssign() if type(node.op) in _OPERATORS and not _is_text(node.value):
            yield ast.AugAssign(node.target, _OPERATORS[type(node.op)](), node.value)
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
            if node.value and not is_axis:
                yield ast.UnaryOp(ast.USub(), node)
        case ast.Call(func=ast.Name()) if node.func.id in _NAMES:
            yield ast.Call(ast.Name(_NAMES[node.func.id]), node.args, node.keywords)
        case ast.Call(func=ast.Attribute()) if node.func.attr in _NAMES:
            function = ast.Attribute(node.func.value, _NAMES[node.func.attr])
            yield ast.Call(function, node.args, node.keywords)
        case ast.Return(value=ast.expr()):
            value = getattr(node.value, "value", ...)
            if value is not None and value is not False:  # None is as false as False
                yield ast.Return(ast.Constant(None))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _conditions(node: ast.AST) -> list[ast.expr]:
    """The conditions of a node that no fault of their own turns already."""
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not _is_marker(node.test):
        tests = [node.test]
    elif isinstance(node, ast.comprehension):
        tests = node.ifs
    else:
        tests = []
    return [test for test in tests if not _is_turned(test)]


def _is_turned(test: ast.expr) -> bool:
    is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    return is_not or (isinstance(test, ast.Compare) and len(test.ops) == 1)


def _is_text(node: ast.expr) -> bool:
    """Whether a sum puts a text together."""
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
