"""Small changes of a source: another operator, comparison, number, axis, name or condition."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

PAIRS = [
    (ast.Add, ast.Sub, "+", "-"),
    (ast.Mult, ast.Div, "*", "/"),
    (ast.FloorDiv, ast.Div, "//", "/"),
    (ast.Mod, ast.FloorDiv, "%", "//"),
    (ast.Lt, ast.LtE, "<", "<="),
    (ast.Gt, ast.GtE, ">", ">="),
    (ast.Eq, ast.NotEq, "==", "!="),
    (ast.Is, ast.IsNot, "is", "is not"),
    (ast.In, ast.NotIn, "in", "not in"),
    (ast.And, ast.Or, "and", "or"),
    (ast.BitAnd, ast.BitOr, "&", "|"),
]
SWAPS = {a: (b, to) for a, b, _, to in PAIRS} | {b: (a, to) for a, b, to, _ in PAIRS}
SWAPS |= {ast.Div: (ast.Mult, "*"), ast.FloorDiv: (ast.Div, "/"), ast.Pow: (ast.Mult, "*")}
NAMES = [("minimum", "maximum"), ("min", "max"), ("any", "all"), ("argmin", "argmax")]
NAMES += [("sum", "mean"), ("zeros", "ones"), ("floor", "ceil"), ("exp", "expm1"), ("log", "log1p")]
RENAMED = dict(NAMES) | {b: a for a, b in NAMES}
TEXTS = {"left": "right", "right": "left"}


class Mutant(NamedTuple):
    """One change: `start` to `end` of the source becomes `new`."""

    file: str
    line: int
    start: int
    end: int
    old: str
    new: str
    text: str  # of its line

    @property
    def name(self) -> str:
        old = " ".join(self.old.split())
        return f"{self.file}: {old} -> {self.new} in {self.text}"


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """All mutants of a file. Messages, annotations and docstrings are left alone."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    raw = source.encode()

    def at(node: ast.AST, new: str) -> Mutant:
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        old = raw[start:end].decode()
        text = source.splitlines()[node.lineno - 1].strip()
        return Mutant(file, node.lineno, start, end, old, new, text)

    for node in _code(ast.parse(source)):
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare):
            for changed in _operators(node):
                yield at(node, ast.unparse(changed))
        elif isinstance(node, ast.If | ast.IfExp):
            yield at(node.test, f"(not ({ast.unparse(node.test)}))")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield at(node, f"({ast.unparse(node.operand)})")
        elif isinstance(node, ast.Constant):
            value = node.value
            if type(value) is bool:
                yield at(node, str(not value))
            elif type(value) is int:
                yield at(node, str(value + 1))
            elif type(value) is float:
                yield at(node, repr(value * 2 or 1.0))
            elif value in TEXTS:
                yield at(node, repr(TEXTS[value]))
        elif isinstance(node, ast.Attribute) and node.attr in RENAMED:
            yield at(node, f"{ast.unparse(node.value)}.{RENAMED[node.attr]}")
        elif isinstance(node, ast.Name) and node.id in RENAMED and isinstance(node.ctx, ast.Load):
            yield at(node, RENAMED[node.id])


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """What runs: not annotations, messages of errors and docstrings."""
    yield node
    skipped = ("annotation", "returns", "type_params")
    for field, value in ast.iter_fields(node):
        if field in skipped or isinstance(node, ast.Raise | ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _operators(node: ast.expr) -> Iterator[ast.expr]:
    ops = node.ops if isinstance(node, ast.Compare) else [node.op]
    for i, op in enumerate(ops):
        if type(op) not in SWAPS:
            continue
        new = SWAPS[type(op)][0]()
        if isinstance(node, ast.BinOp) and not _is_text(node.left) and not _is_text(node.right):
            yield ast.BinOp(node.left, new, node.right)
        elif isinstance(node, ast.BoolOp):
            yield ast.BoolOp(new, node.values)
        elif isinstance(node, ast.Compare):
            yield ast.Compare(node.left, [*ops[:i], new, *ops[i + 1 :]], node.comparators)


def _is_text(node: ast.expr) -> bool:
    """Of a path or a message, which has no other operators."""
    return isinstance(node, ast.JoinedStr) or type(getattr(node, "value", None)) is str
