"""A trained model that knows itself: its config, data, folder, step and member."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from devae_jax import rng
from devae_jax.data.images import images_of
from devae_jax.evaluation.codes import Coder, code_shape
from devae_jax.program import describe
from devae_jax.program import plan as programs
from devae_jax.program.keys import flatten
from devae_jax.program.plan import Plan
from devae_jax.program.references import code_in
from devae_jax.program.saved import config_of
from devae_jax.runs import shared
from devae_jax.runs.folder import Folder
from devae_jax.training.engine import Steps, mesh_of
from devae_jax.training.platform import precision_on
from devae_jax.training.step import Layout, Program
from devae_jax.training.trees import part
from devae_jax.types import Array, Posterior, TrainState


class Functions(NamedTuple):
    """What a program can do after training; compiled once for all its runs.

    encode(hparams, params, carry, images, step), logits(hparams, params, z, layer) and
    error(hparams, logits, images), as in `Objective`
    """

    encode: Callable[..., Posterior]
    logits: Callable[..., Array]
    error: Callable[..., Array]


def functions_of(program: Program, platform: str) -> Functions:
    """The functions of a program for devices of a platform."""
    layout = Layout(platform=platform)

    def encode(hparams, params, carry, images, step):
        return program.objective(hparams, layout).encode(params, carry, images, step)

    def logits(hparams, params, z, layer):
        return program.objective(hparams, layout).logits(params, z, layer)

    def error(hparams, logits, images):
        return program.objective(hparams, layout).error(logits, images)

    return Functions(*(jax.jit(program.precisely(f, platform)) for f in (encode, logits, error)))


class Run:
    """One run at one step: `encode`, `decode`, and all that it was trained with.

    config: its own, that of its member if it is one of a population
    dataset: the images it was trained on
    step: how many steps it was trained
    member: which of a population, None for a run alone
    folder: where it lies, None if nowhere
    layer_labels: what distinguishes its latent layers, None if nothing does
    state: what training left, on one device
    precision: of its float32 matrix products and convolutions here
    """

    def __init__(
        self,
        plan: Plan,
        state: TrainState,
        *,
        step: int,
        member: int | None = None,
        folder: Folder | None = None,
        functions: Functions | None = None,
    ):
        mine = plan if member is None else plan.members[member]
        self.config, self._hparams = mine.config, mine.hparams
        self.dataset, self.layer_labels = plan.dataset, describe.layer_labels(self.config)
        self.state, self.step, self.member, self.folder = state, step, member, folder
        (device,) = state.step.devices()
        self.precision = precision_on(device.platform, plan.program.precision)
        self._functions = functions or functions_of(plan.program, device.platform)

    @property
    def coder(self) -> Coder:
        """The run as evaluation takes it."""
        return Coder(encode=self.encode, logits=self.logits, error=self.error)

    @property
    def method(self) -> str:
        """What it was trained by: the config's `method`, or its objective."""
        return self.config.method or self.config.objective.name

    def images(self, numbers: Array | np.ndarray) -> np.ndarray:
        """Images of its data set by number, int [N] -> [N, H, W, C], as `data.images.images_of`."""
        return images_of(self.dataset, numbers)

    def encode(self, images: Array) -> Posterior:
        """images [B, H, W, C] in [0, 1] -> posterior of every layer, leaves [K, B, D]."""
        params, carry, step = self.state.params, self.state.carry, jnp.int32(self.step)
        return self._functions.encode(self._hparams, params, carry, jnp.asarray(images), step)

    def decode(self, z: Array, layer: Array | int = 0) -> Array:
        """Latents z [N, D] of `layer` (one, or one each) -> images [N, H, W, C] in [0, 1]."""
        z = jnp.asarray(z)
        return jax.nn.sigmoid(self.logits(z, jnp.broadcast_to(jnp.asarray(layer), z.shape[:1])))

    def logits(self, z: Array, layer: Array) -> Array:
        """Latents z [N, D] of layers [N] -> logits [N, H, W, C]."""
        return self._functions.logits(self._hparams, self.state.params, z, layer)

    def error(self, logits: Array, images: Array) -> Array:
        """Reconstruction error of images from logits, [N, H, W, C] each -> [N] nats."""
        return self._functions.error(self._hparams, logits, images)

    def export(self, path: str | os.PathLike) -> Path:
        """Writes the trained model to a new folder, to share it: see `runs.shared`.

        `load` reads the folder again, a process that has JAX alone its StableHLO. What training
        needs to go on, the optimiser's state, is not in it.

        Raises:
          ValueError: the folder is not empty, a package that this needs is not installed, or the
            method is one's own and cannot be exported.
        """
        num_layers, dim = code_shape(self.coder, self.dataset)
        rows = [] if self.folder is None else self.folder.scores()
        shared.write(
            Path(path),
            about={
                "method": self.method,
                "step": self.step,
                "seed": self.config.seed,
                "member": self.member,
                "layers": self.layer_labels or num_layers,
                "data": dict(self.dataset.identity),
            },
            config=self.config,
            tree={"params": self.state.params, "carry": self.state.carry},
            encode=self.encode,
            decode=self.decode,
            image_shape=self.dataset.image_shape,
            latent_dim=dim,
            scores=[r for r in rows if (r["step"], r["member"]) == (self.step, self.member)],
        )
        return Path(path)


def runs_of(
    plan: Plan,
    states: Sequence[TrainState],
    *,
    step: int,
    folder: Folder | None,
    functions: Functions,
) -> list[Run]:
    """The run of every state: of each member, or of a run alone. They share what is compiled."""
    members = range(len(plan.members)) if plan.members else [None]
    return [
        Run(plan, state, step=step, member=member, folder=folder, functions=functions)
        for member, state in zip(members, states, strict=True)
    ]


def load(
    workdir: str | os.PathLike,
    *,
    step: int | None = None,
    member: int | None = None,
    trust: bool = False,
) -> Run:
    """The run in `workdir`, rebuilt from its checkpoint alone, on the first device here.

    A folder that `Run.export` wrote is loaded too, wherever it was downloaded to.

    Args:
      step: which checkpoint; default the newest that can be read.
      member: which member, if the run is a population.
      trust: run the Python files of the user's own that the run's config names.

    Raises:
      ValueError: there is no such run, checkpoint or member, it cannot be read, or it needs
        code that is not trusted.
    """
    folder = Folder(workdir)
    if shared.is_shared(folder.path):
        return _load_shared(folder, step, member, trust)
    plan, state, reached = _restore(folder, step, trust)
    count = len(plan.members)
    if count and member not in range(count):
        raise ValueError(
            f"got member={member}, expected 0 to {count - 1}: {workdir} holds a population; "
            "choose one"
        )
    if not count and member is not None:
        raise ValueError(f"got member={member}, expected none: {workdir} holds one run")
    if member is not None:
        state = part(state, member)
    return Run(plan, state, step=reached, member=member, folder=folder)


def load_members(
    workdir: str | os.PathLike, *, step: int | None = None, trust: bool = False
) -> list[Run]:
    """All members of the population in `workdir`, or its one run; as `load`."""
    folder = Folder(workdir)
    plan, state, reached = _restore(folder, step, trust)
    states = [part(state, i) for i in range(len(plan.members))] or [state]
    functions = functions_of(plan.program, jax.local_devices()[0].platform)
    return runs_of(plan, states, step=reached, folder=folder, functions=functions)


def _restore(folder: Folder, step: int | None, trust: bool) -> tuple[Plan, TrainState, int]:
    """What a checkpoint holds, stacked if it is a population."""
    plans: list[Plan] = []

    def abstract(meta: dict[str, Any]) -> TrainState:
        if folder.has_config():
            folder.check_same(meta)
        config = config_of(meta["config"])
        _check_trust(config, trust)
        plan = programs.plan(config, meta["members"])
        plans.append(plan)
        steps = Steps(plan.program, mesh_of(jax.local_devices()[:1]))
        if not plan.members:
            return steps.abstract(plan.hparams)
        stacked = programs.stacked(plan)
        return steps._replace(members=len(plan.members)).abstract(stacked)

    saved = folder.checkpoints(alone=True).restore(abstract, step)
    return plans[-1], saved.state, saved.step


def _load_shared(folder: Folder, step: int | None, member: int | None, trust: bool) -> Run:
    """The run that was exported to a folder; it is alone there, at one step."""
    found = shared.read(folder.path)
    if member is not None or step not in (None, found.step):
        raise ValueError(
            f"got member={member}, step={step}, expected none: {folder} holds one exported run of "
            f"step {found.step}"
        )
    _check_trust(found.config, trust)
    plan = programs.plan(found.config)
    device = jax.local_devices()[0]
    whole = Steps(plan.program, mesh_of([device])).abstract(plan.hparams)
    shapes = {"params": whole.params, "carry": whole.carry}
    tree = jax.device_put(shared.rebuilt(shapes, found.arrays), device)
    state = TrainState(
        step=jax.device_put(jnp.int32(found.step), device),
        params=tree["params"],
        carry=tree["carry"],
        opt_state=(),
        key=rng.seed(plan.config.seed),
    )
    return Run(plan, state, step=found.step, folder=folder)


def _check_trust(config: ConfigDict, trust: bool) -> None:
    """Loading must not run a stranger's code."""
    code = code_in(flatten(config))
    if code and not trust:
        raise ValueError(
            f"got a run that needs {', '.join(code)}, expected one that needs no code but the "
            "library's; look at it, then pass trust=True (--trust) to run it"
        )
