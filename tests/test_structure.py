"""Who may import whom, and what importing the package costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "devae_jax"
LEAVES = ("models", "objectives", "data", "metrics", "viz")
ALLOWED = {  # part -> the parts that it may import besides itself, types and rng
    "types": (),
    "rng": (),
    "names": (),
    "hyper": (),
    "models": (),
    "objectives": (),
    "data": (),
    "metrics": ("data",),
    "viz": (),
    "optim": (),
    "train": ("optim",),
}
ONLY_IN = {  # library -> the files that may import it at all
    "orbax": ("train/checkpoint.py",),
    "ml_collections": ("build.py", "run.py", "workdir.py", "results.py", "sweep.py"),
    "matplotlib": ("viz/",),
    "tensorflow": (),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports(path):
    relative = path.relative_to(PACKAGE)
    part = relative.parts[0].removesuffix(".py")
    for module in imports(path):
        library, *rest = module.split(".")
        places = ONLY_IN.get(library)
        assert places is None or str(relative).startswith(places), f"{relative} imports {module}"
        if library == "devae_jax" and rest and part in ALLOWED:
            allowed = (part, "types", "rng", "names", *ALLOWED[part])
            assert rest[0] in allowed, f"{relative} imports {module}"


def test_files_stay_small():
    long = {str(p): n for p in FILES if (n := len(p.read_text().splitlines())) > 320}
    assert not long


def test_the_package_imports_without_tensorflow_or_heavy_libraries():
    code = "import devae_jax, sys; print([m for m in ('tensorflow', 'orbax', 'sklearn', "
    code += "'matplotlib', 'tensorflow_datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_needs_no_tensorflow():
    code = "import sys; sys.modules['tensorflow'] = None; import devae_jax.run, devae_jax.results"
    subprocess.run([sys.executable, "-c", code], check=True)
