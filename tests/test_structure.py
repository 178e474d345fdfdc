"""Who may import whom, what docstrings promise, and what importing the package costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "devae_jax"
GROUND = ("types", "rng", "names", "files")
ALLOWED: dict[str, tuple[str, ...]] = {  # part -> parts it may import besides itself and the ground
    "types": (),
    "rng": (),
    "names": (),
    "files": (),
    "models": (),
    "objectives": ("models",),
    "data": (),
    "metrics": ("data",),
    "viz": ("metrics",),
    "training": (),
    "program": ("models", "objectives", "data", "training", "configs"),
    "evaluation": ("data", "metrics"),
    "runs": ("program", "evaluation", "training", "metrics", "data", "viz"),
    "studies": ("runs", "program", "evaluation", "training", "metrics", "viz", "configs"),
    "allocator": (),
    "__init__": ("allocator", "runs"),
}
ONLY_IN = {  # library -> the files that may import it at all
    "orbax": ("training/checkpoint.py",),
    "etils": ("runs/store.py",),
    "ml_collections": ("program/", "runs/"),
    "matplotlib": ("viz/",),
    "tensorboardX": ("training/writer.py",),
    "tensorflow": (),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return str(path.relative_to(PACKAGE))


def imports(path):
    """Modules that a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_part_has_its_rule():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert parts == set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports(path):
        library, *rest = module.split(".")
        places = ONLY_IN.get(library)
        assert places is None or name_of(path).startswith(places), f"{path} imports {module}"
        if library == "devae_jax" and rest:
            ground = GROUND if part not in GROUND else ("types", "names")
            assert rest[0] in (part, *ground, *ALLOWED[part]), f"{path} imports {module}"


def test_no_circles():
    """Not even by imports inside functions."""
    known = {
        ".".join(["devae_jax", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
            ".__init__"
        ): path
        for path in FILES
    }

    def modules(path):
        """The modules that a file takes names from; of a package, those named in the import."""
        found = {module for module in imports(path) if module in known}
        return {m for m in found if not any(other.startswith(f"{m}.") for other in found)}

    reaches = {name: modules(path) for name, path in known.items()}
    done: set[str] = set()

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in sorted(reaches[name] - {name}):
                visit(other, (*trail, name))
            done.add(name)

    for name in known:
        visit(name, ())


def test_files_stay_small():
    long = {name_of(p): n for p in FILES if (n := len(p.read_text().splitlines())) > 320}
    assert not long


def test_keys_are_made_in_one_place():
    makers = re.compile(r"\brandom\.(key|PRNGKey)\(")
    assert [name_of(p) for p in FILES if makers.search(p.read_text())] == ["rng.py"]


def test_type_checks_are_switched_off_in_few_places_with_a_reason():
    lines = [line for p in FILES for line in p.read_text().splitlines() if "type: ignore" in line]
    assert len(lines) < 5
    assert all(re.search(r"type: ignore\[[\w,-]+\]  # \w+", line) for line in lines), lines


# Docstrings that say "only" of who does what, and the tests that hold them to it.
PROMISES = {
    "rng.py": test_keys_are_made_in_one_place,
    "training/checkpoint.py": test_imports,
}
CLAIMS = re.compile(
    r"\b(the only|no other (module|file|part)|nothing else|nobody else|the one place)\b", re.I
)


def test_promises_of_docstrings_are_tested():
    """A claim that no test holds is a wish: test it, or do not say it."""
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                if CLAIMS.search(" ".join(text.split())):
                    found.add(name_of(path))
    assert found == set(PROMISES)


def test_the_package_imports_without_tensorflow_or_heavy_libraries():
    code = "import devae_jax, sys; print([m for m in ('tensorflow', 'orbax', 'sklearn', "
    code += "'matplotlib', 'tensorflow_datasets', 'jax') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_needs_no_tensorflow():
    code = "import sys; sys.modules['tensorflow'] = None\n"
    code += "import devae_jax.runs.train, devae_jax.runs.results"
    subprocess.run([sys.executable, "-c", code], check=True)
