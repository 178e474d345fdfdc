"""A trained model as files to share: no pickle, no code, readable by other libraries.

W/model.safetensors: parameters and carried state   W/config.json, W/scores.json as in a run
W/run.json: what it is, written last   W/README.md: the model card
W/encoder.stablehlo, W/decoder.stablehlo: for processes that have JAX and not this library
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from devae_jax.evaluation.rows import compact
from devae_jax.files import FORMAT, readable, storing, write_bytes, write_json, write_text
from devae_jax.program.keys import to_json
from devae_jax.program.saved import config_of
from devae_jax.runs.layout import mapping
from devae_jax.types import Array, Posterior

ABOUT, MODEL, CONFIG, SCORES = "run.json", "model.safetensors", "config.json", "scores.json"
PLATFORMS = ("cpu", "cuda", "tpu")  # that the functions are exported for
# What jax raises for a function that needs to know the number of images, or a platform.
UNFIT = (TypeError, NotImplementedError, jax.errors.InconclusiveDimensionOperation)
NEEDS = 'install what sharing needs: pip install "devae_jax[share]"'


class Shared(NamedTuple):
    """A folder of files, read: config, step, and the arrays by name."""

    config: ConfigDict
    step: int
    arrays: dict[str, np.ndarray]


def is_shared(path: Path) -> bool:
    """Whether a folder holds such files, as one of a hub's snapshots does."""
    return (path / ABOUT).is_file() and not (path / "checkpoints").exists()


def write(
    path: Path,
    *,
    about: Mapping[str, Any],
    config: ConfigDict,
    tree: Any,
    encode: Callable[[Array], Posterior],
    decode: Callable[[Array, Array], Array],
    image_shape: Sequence[int],
    latent_dim: int,
    scores: Sequence[Mapping[str, Any]],
) -> None:
    """Writes all files; `run.json` last, so that a folder which has it is whole.

    Args:
      about: method, step, seed, data and so on, for `run.json` and the card.
      tree: params and carry, arrays by keys.
      encode, decode: exported for any number of images; see `stablehlo`.

    Raises:
      ValueError: the folder is not empty, a package that this needs is not installed, or the
        functions are not of any number of images.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"got {path}, which is there and not empty, expected a new folder")
    try:
        import flatbuffers  # noqa: F401  # jax.export needs it
        from safetensors.numpy import save
    except ImportError as error:
        raise ValueError(f"got no package {error.name!r}, expected it to export; {NEEDS}") from None
    model = save(named(tree))
    functions = stablehlo(encode, decode, image_shape, latent_dim)
    about = {
        "format": FORMAT,
        "library": version("devae_jax"),
        **about,
        "image_shape": list(image_shape),
        "sha256": hashlib.sha256(model).hexdigest(),
    }
    with storing(path):
        path.mkdir(parents=True, exist_ok=True)
    write_bytes(path / MODEL, model)
    for name, content in functions.items():
        write_bytes(path / name, content)
    write_json(path / CONFIG, {"format": FORMAT, **to_json(config)}, indent=2)
    rows = [{**row, "format": FORMAT} for row in compact(dict(row) for row in scores)]
    write_json(path / SCORES, rows, indent=1)
    write_text(path / "README.md", card(about, rows))
    write_json(path / ABOUT, about, indent=2)


def read(path: Path) -> Shared:
    """Reads what `write` wrote; nothing in it is run.

    Raises:
      ValueError: a file is damaged, missing or of another version, or safetensors is missing.
    """
    try:
        from safetensors.numpy import load
    except ImportError:
        raise ValueError(f"got no package 'safetensors', expected it to load; {NEEDS}") from None
    try:
        about = readable(_json(path / ABOUT), str(path / ABOUT))
        config = config_of(readable(_json(path / CONFIG), str(path / CONFIG)))
        content = (path / MODEL).read_bytes()
    except OSError as error:
        raise ValueError(
            f"got {error.strerror} reading {error.filename}, expected an exported run; export or "
            "download it again"
        ) from error
    if hashlib.sha256(content).hexdigest() != about.get("sha256"):
        raise ValueError(
            f"got {path / MODEL} with other bytes than were exported, expected them whole; "
            "download it again"
        )
    if type(about.get("step")) is not int:
        raise ValueError(f"got {path / ABOUT} without a step, expected one; export it again")
    return Shared(config, about["step"], load(content))


def _json(path: Path) -> dict[str, Any]:
    try:
        return mapping(path)
    except ValueError as error:
        raise ValueError(
            f"got {error} reading {path}, expected a mapping in JSON; export it again"
        ) from error


def named(tree: Any) -> dict[str, np.ndarray]:
    """Leaves as host arrays by their path, "params/encoder/kernel"."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_name(path): np.ascontiguousarray(jax.device_get(leaf)) for path, leaf in leaves}


def rebuilt(shapes: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree of `shapes` with arrays by path.

    Raises:
      ValueError: an array is missing, surplus, or of another shape or type.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(shapes)
    wanted = {_name(path): leaf for path, leaf in leaves}
    for name in sorted(wanted.keys() ^ arrays.keys()):
        where = "no" if name in wanted else "a surplus"
        raise ValueError(f"got {where} array {name!r}, expected those of its config; export again")
    for name, leaf in wanted.items():
        got, expected = arrays[name], (leaf.shape, leaf.dtype)
        if (got.shape, got.dtype) != expected:
            raise ValueError(
                f"got array {name!r} of {got.dtype}{list(got.shape)}, expected {leaf.dtype}"
                f"{list(leaf.shape)}; the config is of another run"
            )
    return jax.tree.unflatten(treedef, [jnp.asarray(arrays[name]) for name in wanted])


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def stablehlo(
    encode: Callable[[Array], Posterior],
    decode: Callable[[Array, Array], Array],
    image_shape: Sequence[int],
    latent_dim: int,
) -> dict[str, bytes]:
    """The two functions with their weights, serialized, for any number B of images.

    encoder: images [B, H, W, C] -> (means, log-variances), [K, B, D] each
    decoder: latents [B, D], layers [B] int32 -> images [B, H, W, C] in [0, 1]

    Raises:
      ValueError: the code of a method of one's own needs to know B, or cannot be exported.
    """
    (batch,) = jax.export.symbolic_shape("B")
    images = jax.ShapeDtypeStruct((batch, *image_shape), jnp.float32)
    latents = jax.ShapeDtypeStruct((batch, latent_dim), jnp.float32)
    layers = jax.ShapeDtypeStruct((batch,), jnp.int32)

    def encoder(images: Array) -> tuple[Array, Array]:
        posterior = encode(images)
        return posterior.mean, posterior.logvar

    given: dict[str, tuple[Callable[..., Any], tuple]] = {
        "encoder": (encoder, (images,)),
        "decoder": (decode, (latents, layers)),
    }
    found = {}
    for name, (function, arguments) in given.items():
        try:
            exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
        except UNFIT as error:
            raise ValueError(
                f"got an {name} that is not exported ({str(error).splitlines()[0]}), expected a "
                "function of any number of rows; in its code, take x.shape[0] in place of len(x)"
            ) from error
        found[f"{name}.stablehlo"] = bytes(exported.serialize())
    return found


def card(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The model card in Markdown: what it is, its scores, how to use it."""
    shown = [row for row in rows if row["representation"] == "mean" and row["value"] is not None]
    scores = "".join(
        f"| {_cell(row['metric'])} | {_cell(row['protocol'])} | {row['layer']} "
        f"| {row['value']:.4g} |\n"
        for row in shown
    )
    table = f"| score | protocol | layer | value |\n|---|---|---|---|\n{scores}"
    facts = "".join(
        f"- {name}: `{_code(about[name])}`\n"
        for name in ("method", "step", "seed", "member", "layers", "image_shape", "data", "library")
        if about.get(name) is not None
    )
    return (
        "---\nlibrary_name: devae_jax\ntags: [disentanglement, vae, jax]\n---\n"
        f"# {_cell(about['method'])} on {_cell(about['data'].get('name', 'images'))}\n\n{facts}\n"
        f"## Scores\n\n{table if shown else 'It was not scored.'}\n{USE}"
    )


def _code(value: Any) -> str:
    """JSON that cannot end a code span."""
    return json.dumps(value, default=str).replace("`", "'").replace("<", "\\u003c")


def _cell(text: Any) -> str:
    """Text that cannot end a cell, a line or become markup."""
    safe = "".join(c if c.isprintable() else " " for c in str(text))
    return "".join(f"\\{c}" if c in "\\`*[]<>|#&!" else c for c in safe)


USE = """
## Use

With the library; nothing is unpickled:

```python
import devae_jax

run = devae_jax.load("this/folder")
posterior = run.encode(images)  # [B, H, W, C] in [0, 1] -> [K, B, D]
```

With JAX alone:

```python
from pathlib import Path

from jax import export

encoder = export.deserialize(bytearray(Path("encoder.stablehlo").read_bytes()))
decoder = export.deserialize(bytearray(Path("decoder.stablehlo").read_bytes()))
means, log_variances = encoder.call(images)  # float32 [B, H, W, C] -> [K, B, D] each
images = decoder.call(means[0], layers)  # layers: int32 [B]
```
"""
