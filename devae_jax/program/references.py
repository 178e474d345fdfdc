"""Names of factories: entries of a registry, or code of the user's own.

A config may hold a factory itself, or say where it is: "package.module:factory", or
"path/to/file.py:factory". What is saved is the text.
"""

import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from devae_jax.names import lookup, nearest

FAMILIES = ("tfds:",)  # beginnings of names that stand in a registry, see `names.lookup`


def resolve(name: Any, table: Mapping[str, Callable], where: str) -> Callable:
    """The factory called `name`: an entry of `table`, or a reference to the user's own.

    Raises:
      ValueError: unknown, or the user's module does not import or has no such factory.
    """
    if not is_reference(name):
        return lookup(table, name, where)
    factory = load(name, where)
    if not callable(factory):
        raise ValueError(f"got {where}={name!r}, expected a function; fix the name")
    return factory


def load(name: str, where: str) -> Any:
    """What a reference points to.

    Raises:
      ValueError: the module does not import, or has nothing of that name.
    """
    place, _, attribute = name.rpartition(":")
    try:
        module = _file(str(_path(place))) if place.endswith(".py") else _module(place)
    except Exception as error:  # whatever the user's code raises when it is imported
        raise ValueError(
            f"got {where}={name!r}, and importing {place} ended in {type(error).__name__}: "
            f"{_first_line(error)}, expected a module that imports; fix {place}"
        ) from error
    if not hasattr(module, attribute):
        raise ValueError(
            f"got {where}={name!r}, expected something called {attribute!r} in "
            f"{module.__file__}{nearest(attribute, vars(module))}; fix the name"
        )
    return getattr(module, attribute)


def is_reference(name: Any) -> bool:
    """Whether a name points to the user's own code."""
    return isinstance(name, str) and ":" in name and not name.startswith(FAMILIES)


def code_in(flat: Mapping[str, Any]) -> list[str]:
    """The references in a flat config: what it would run, of the user's own."""
    found = []
    for key, value in flat.items():
        if key.rpartition(".")[2] in ("name", "kind") or key == "eval.metrics":
            items = value if isinstance(value, list | tuple) else [value]
            found += [item for item in items if is_reference(item)]
    return found


def text_of(value: Any, where: str) -> Any:
    """The reference to a factory, the path of its file absolute; other values as they are.

    Raises:
      ValueError: a factory that cannot be found again by name.
    """
    if isinstance(value, list):
        return [text_of(item, where) for item in value]
    if is_reference(value) and value.rpartition(":")[0].endswith(".py"):
        place, _, attribute = value.rpartition(":")
        return f"{_path(place)}:{attribute}"
    if not callable(value):
        return value
    name = getattr(value, "__qualname__", "")
    if not name.isidentifier():
        raise ValueError(
            f"got {where}={value!r}, expected a function at the top of its file, so that a saved "
            "config can name it; move it there"
        )
    module = inspect.getmodule(value)
    if module is not None and _importable(module) and getattr(module, name, None) is value:
        return f"{module.__name__}:{name}"
    return f"{Path(inspect.getsourcefile(value) or '').resolve()}:{name}"


def _importable(module: ModuleType) -> bool:
    """Whether its name finds it in another process too: not so for a file run or read by path."""
    top = module.__name__.partition(".")[0]  # asked of the finders: modules in memory do not count
    return any(finder.find_spec(top, None) for finder in sys.meta_path) and top != "__main__"


def _path(place: str) -> Path:
    return Path(place).expanduser().resolve()


@functools.cache
def _file(path: str) -> ModuleType:
    """The module in a file, under a name that no package has."""
    name = f"devae_jax_user_{hashlib.sha256(path.encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")
