"""What every config starts from: each key, once, with its meaning.

A method's config changes what differs. On the command line any key can be set:
`--config.batch_size=64`, `--config.objective.terms.kl.betas="(1.0, 10.0, 40.0)"`. A key that is
added here means, at its value here, what was done before it: saved configs without it are read so.

Where a `name` or `kind` chooses something, code of your own can stand: the function itself, or
where it is, "package.module:function" or "path/to/file.py:function".
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "method": "",  # the name in `--list`; says what the run is, changes nothing
            "seed": 0,
            "steps": 300_000,
            "batch_size": 256,  # global, over all devices
            "micro_batches": 1,  # parts of a batch, one after another, where memory is short
            "matmul_precision": "auto",  # by platform; or float32, tensorfloat32, bfloat16
            "data": {
                "name": "dsprites_regen",
                "factors": ConfigDict(),  # values to keep, {"shape": (0,)}; empty: all
                "correlated": ConfigDict(),  # {"first": "scale", "second": "shape", "sigma": 0.2}
                "held_out": ConfigDict(),  # never in training, {"shape": (0,), "scale": (1,)}
                "imbalanced": ConfigDict(),  # weights of values in training, {"shape": (8, 1, 1)}
                "nuisance": (),  # names of factors that metrics do not count
                "noise": 0.0,  # standard deviation, of noise on the images of training
                "image_size": 64,
                "path": "",  # of your own images: name = "folder", "arrays", "mapped" or "records"
                "on_error": "stop",  # at an unreadable image of a folder, or "skip" it
                "continuous": (),  # names of your factors that are measures though whole numbers
                "channels": placeholder(int),  # of such images, 1 or 3; unset: as they are
                "data_dir": "",  # cache of rendered tables; empty: the user's cache folder
                "source": {
                    "kind": "ondevice",  # or "pairs", "temporal" (weak supervision), "stream"
                    "sampling": placeholder(str),  # of ondevice: "replacement" if unset, "epoch"
                    "changed": placeholder(str),  # of pairs: "one" factor if unset, "any" number
                    "motion": placeholder(str),  # of temporal: "laplace" if unset, "drift"
                    "rate": placeholder(float),  # of laplace: 1.0 if unset
                    "speed": placeholder(int),  # of drift: at most 2 values a frame if unset
                    "frames": placeholder(int),  # of temporal: 2 if unset
                    "moving": placeholder(tuple),  # of temporal: names of factors, all if unset
                },
            },
            "model": {
                "name": "vae",
                "encoder": "conv",
                "decoder": "conv",
                "latent_dim": 10,
                "num_layers": 1,  # K latent layers
                "latents": "single",  # or dit, linear, parallel
                "init": "torch",  # or glorot
                "convolution": "auto",  # fast on CPU, cells on GPU, native elsewhere
                "dtype": "float32",  # of the computation; parameters stay float32
                "remat": placeholder(bool),  # of residual, resnet: blocks computed again going back
                "width": placeholder(int),  # channels of the first layer; unset: the published one
            },
            "objective": {
                "name": "elbo",
                "likelihood": "bernoulli",  # or squared_error
                "layers": "sum",  # all layers a step, or "sampled": one
                "scale": 1.0,  # weight s^i of layer i
                "reconstruction_weight": 1.0,  # 4.0 where an image has a quarter of the pixels
                "any_order": False,  # allow bottlenecks that do not narrow
                "terms": ConfigDict(),  # name -> {"kind": ..., hyperparameters}
            },
            "optimizer": {
                "learning_rate": 1e-4,
                "b1": 0.9,
                "b2": 0.999,
                "eps": 1e-8,
                "warmup_steps": 0.0,
                "decay_steps": 0.0,  # cosine to zero over so many steps; 0: constant
                "players": ConfigDict(),  # a second optimiser, {"tc": {"learning_rate": ...}}
            },
            "train": {
                "log_every": 100,
                "checkpoint_every": 10_000,
                "eval_every": 10_000,  # 0: never
                "keep": 3,  # checkpoints
                "non_finite": "stop",  # at a NaN or infinite loss, or "skip" the step, counted
                "tensorboard": True,
                "sinks": (),  # services that follow too: "wandb", "mlflow"
                "progress": True,
            },
            "parallel": {"mode": "jit", "devices": 0},  # or pmap; 0: all devices
            "eval": {
                "samples": 10_000,
                "metrics": ("cheap",),  # during training; others too: ("factor_vae", "sap")
            },
        }
    )
