"""What a compiled program does, counted from its text: kernels, bytes, convolutions, sources."""

import math
import re
from collections import Counter
from typing import NamedTuple

# Instructions that move nothing: names for what is there already, or numbers in the program.
_FREE = {"parameter", "constant", "bitcast", "get-tuple-element", "tuple", "iota", "after-all"}
_PARTS = {"slice", "dynamic-slice", "gather"}  # read no more of their operand than they give
_BITS = {"pred": 8, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "bf16": 16, "f16": 16}
_BITS |= {"s32": 32, "u32": 32, "f32": 32, "s64": 64, "u64": 64, "f64": 64}
_SHAPE = re.compile(r"(pred|bf16|[suf]\d+)\[([\d,]*)\]")
_NAME = re.compile(r"^\s*(?:ROOT )?%(\S+) = ")
_CUDNN = re.compile(r'custom_call_target="__cudnn\$conv(\w+)"')
_FRAMES = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")


class Line(NamedTuple):
    """One instruction as it is written: its result's shape, kind, operands and the rest."""

    name: str
    shape: str
    kind: str
    operands: tuple[str, ...]
    tail: str

    def called(self, what: str = "calls") -> str:
        """The computation that it names, "" for none."""
        match = re.search(rf"\b{what}=%([\w.-]+)", self.tail)
        return match.group(1) if match else ""


class Instruction(NamedTuple):
    """One kernel: what it reads and writes in bytes, and the line of code that it comes from."""

    name: str
    kind: str
    size: int
    source: str
    lines: tuple[Line, ...]  # itself and, if it is a fusion, what is in it


def kernels(text: str) -> list[Instruction]:
    """The kernels of one step of a scheduled program, in order.

    Those of the body of its longest loop, where that starts more of them in all than lie around
    it, and so on inwards. Bytes are of all operands and results, but of an operand of which a
    kernel takes a slice or some rows, such as a table of data, what it takes. A kernel of Triton is
    one like any other: it reads parts of its operands more than once, and caches hold these.
    """
    computations = _computations(text)
    sources = _sources(text)

    def innermost(name: str) -> list[Instruction]:
        found = _kernels(computations, computations[name], sources)
        loops = [
            (innermost(line.called("body")), _trips(line))
            for line in computations[name]
            if line.kind == "while"
        ]
        inner, trips = max(loops, key=lambda loop: len(loop[0]), default=([], 0))
        return inner if trips * len(inner) > len(found) else found

    return innermost("ENTRY")


def _trips(loop: Line) -> int:
    """How often a loop goes round as XLA knows; twice, if it does not."""
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.tail)
    return int(known.group(1)) if known else 2


def nbytes(shape: str) -> int:
    """Bytes of a shape as it is written, "(f32[2,3]{1,0}, u8[0])"."""
    found = _SHAPE.findall(shape)
    return sum(
        math.prod(map(int, filter(None, dims.split(",")))) * _BITS.get(kind, 32) // 8
        for kind, dims in found
    )


def convolutions(found: list[Instruction]) -> dict[str, int]:
    """How many of each kind: cuDNN's calls by name, else by what is dilated; grouped ones apart."""
    kinds: Counter[str] = Counter()
    for line in (line for one in found for line in one.lines):
        cudnn = _CUDNN.search(line.tail)
        if cudnn is None and line.kind != "convolution":
            continue
        kind = cudnn.group(1) if cudnn else "Forward"
        if cudnn is None and "lhs_dilate" in line.tail:
            kind = "Transposed"
        if cudnn is None and "rhs_dilate" in line.tail:
            kind = "Filter"
        groups = re.search(r"(?:feature|batch)_group_count=(\d+)", line.tail)
        kinds[f"grouped{kind}" if groups else kind] += 1
    return dict(kinds)


def _kernels(
    computations: dict[str, list[Line]], lines: list[Line], sources: dict[str, str]
) -> list[Instruction]:
    shapes = {line.name: line.shape for line in lines}
    found = []
    for line in lines:
        if line.kind in _FREE or line.kind.endswith("-done"):
            continue
        inside = computations.get(line.called(), [])
        parts = _parts(inside or [line])
        read = [
            min(nbytes(shapes.get(operand, "")), parts.get(i, 1 << 62))
            for i, operand in enumerate(line.operands)
        ]
        size = nbytes(line.shape) + sum(read)
        frame = re.search(r"stack_frame_id=(\d+)", line.tail)
        op = re.search(r'op_name="([^"]*)"', line.tail)
        source = sources.get(frame.group(1), "") if frame else ""
        source = f"{source} {op.group(1).split('/', 1)[-1]}" if op else source
        found.append(Instruction(line.name, line.kind, size, source.strip(), (line, *inside)))
    return found


def _parts(lines: list[Line]) -> dict[int, int]:
    """Bytes that are read of the operands of which a computation reads parts only."""
    parameters = {
        line.name: int(line.operands[0]) for line in lines if line.kind == "parameter"
    } or {name: i for i, name in enumerate(lines[0].operands)}
    found: dict[int, int] = {}
    for name, number in parameters.items():
        users = [line for line in lines if line.kind != "parameter" and name in line.operands]
        if users and all(u.kind in _PARTS and u.operands[0] == name for u in users):
            found[number] = sum(nbytes(user.shape) for user in users)
    return found


def _computations(text: str) -> dict[str, list[Line]]:
    """The instructions of every computation by its name; those of the entry as "ENTRY"."""
    found: dict[str, list[Line]] = {}
    name = ""
    for row in text.splitlines():
        header = re.match(r"(ENTRY )?%(\S+) \(.*\{$", row)
        if header:
            name = "ENTRY" if header.group(1) else header.group(2)
            found[name] = []
        elif name and (line := _line(row)):
            found[name].append(line)
    return found


def _line(row: str) -> Line | None:
    match = _NAME.match(row)
    if match is None:
        return None
    rest = row[match.end() :]
    end = _closing(rest) if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    kind, _, rest = rest.partition("(")
    end = _closing("(" + rest) - 1
    inside, tail = rest[: end - 1], rest[end:]
    operands = re.findall(r"%([\w.-]+)", inside) if kind != "parameter" else [inside]
    return Line(match.group(1), shape, kind, tuple(operands), tail)


def _closing(text: str) -> int:
    """Where the parenthesis that `text` begins with is closed, behind it."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return i + 1
    return len(text)


def _number(field: str, record: str) -> str:
    """The number of a field of a record, "{file_name_id=1 line=30}"."""
    match = re.search(rf"\b{field}=(\d+)", record)
    return match.group(1) if match else ""


def _sources(text: str) -> dict[str, str]:
    """Stack frame -> "file.py:line" of the innermost frame in this library."""
    tables: dict[str, dict[str, str]] = {title: {} for title in _FRAMES}
    title = ""
    for line in text.splitlines():
        if line in _FRAMES:
            title = line
        elif title and re.match(r"\d+ ", line):
            number, _, rest = line.partition(" ")
            tables[title][number] = rest
        elif line.strip():
            title = ""
    files, _, places, frames = tables.values()
    named = {}
    for frame in frames:
        at, seen = frame, set()
        while at in frames and at not in seen:
            seen.add(at)
            place = places.get(_number("file_location_id", frames[at]), "")
            file = files.get(_number("file_name_id", place), "").strip('"')
            if "devae_jax/" in file:
                named[frame] = f"{file.rpartition('devae_jax/')[2]}:{_number('line', place)}"
                break
            at = _number("parent_frame_id", frames[at])
    return named
