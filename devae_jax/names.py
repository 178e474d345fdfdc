"""Names that do not exist: one error for all, with the nearest that does; names as text."""

import difflib
import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def nearest(name: object, known: Iterable[str]) -> str:
    """'; did you mean …?' if a known name is close, else ''."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(what: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for `what`=`name`."""
    known = [str(k) for k in known]
    hint = nearest(name, known) or "; choose one of these"
    return ValueError(f"got {what}={name!r}, expected one of {', '.join(known)}{hint}")


def lookup(table: Mapping[str, Any], name: str, what: str) -> Any:
    """table[name].

    An entry whose key ends in a colon is one for a family of names: "tfds:mnist" gives that of
    "tfds:" with "mnist" as first argument.

    Raises:
      ValueError: there is no such entry; names the nearest.
    """
    family, colon, rest = name.partition(":") if isinstance(name, str) else (name, "", "")
    if colon and rest and f"{family}:" in table:
        return functools.partial(table[f"{family}:"], rest)
    if colon and name in table:
        raise ValueError(f"got {what}={name!r}, expected a name after the colon; add it")
    if not isinstance(name, str) or name not in table:
        raise unknown(what, name, table)
    return table[name]


def differing(what: str, values: Iterable[str | None]) -> list[str]:
    """A sentence about members that are compared and are not of one version or data set.

    Args:
      what: they differ in, as "library versions".
      values: of the members, None where it is not recorded; nothing is said where all are the same.
    """
    counts = Counter(printable(str(value or "not recorded")) for value in values).most_common()
    each = "; ".join(f"{value} ({count})" for value, count in counts)
    text = f"Members are of different {what}, compare with care: {each}."
    return [text] if len(counts) > 1 else []


def printable(text: str, keep: str = "") -> str:
    """Text from a file, fit for a terminal or a table: "?" for control characters not in `keep`."""
    return "".join(c if c.isprintable() or c in keep else "?" for c in text)
