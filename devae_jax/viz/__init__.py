"""Figures as pure functions: arrays in, a picture out; `save` and `draw_all` write files."""

from devae_jax.viz.curves import information_diffusion, training_curves
from devae_jax.viz.draw import draw_all, figures
from devae_jax.viz.images import reconstructions, samples
from devae_jax.viz.report import Section, report
from devae_jax.viz.save import save
from devae_jax.viz.scores import mutual_information, score_bars
from devae_jax.viz.traversals import latent_labels, traversal_frames, traversals

__all__ = [
    "Section",
    "draw_all",
    "figures",
    "information_diffusion",
    "latent_labels",
    "mutual_information",
    "reconstructions",
    "report",
    "samples",
    "save",
    "score_bars",
    "training_curves",
    "traversal_frames",
    "traversals",
]
