"""Bad inputs at every command: python -m tests.reliability.bad_inputs [WORD]

Each is given to a process that was forked after the imports, as a user would give it. Clear is
what ends with an exit code that says whose fault it is and one line on the terminal; all others
are printed. With WORD, cases that contain it, with what they print.
"""

import collections
import importlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import zipfile

import numpy as np

CLEAR = (2, 3, 4)
SECONDS = 60

CONFIG = "from devae_jax.configs import beta_vae\ndef get_config(variants=''):\n"
FILES = {  # name -> content of a config file
    "parses.py": "def get_config(:\n",
    "indents.py": "def get_config():\nreturn 1\n",
    "imports.py": "import nothing_like_it\ndef get_config():\n  return 1\n",
    "raises.py": CONFIG + "  return 1 / 0\n",
    "asserts.py": CONFIG + "  assert 1 == 2\n",
    "unwritten.py": CONFIG + "  raise NotImplementedError\n",
    "hungry.py": CONFIG + "  raise MemoryError\n",
    "stops.py": CONFIG + "  next(iter(()))\n",
    "opens.py": CONFIG + "  open('/no/such.yaml')\n",
    "opens_first.py": "open('/no/such.yaml')\n",
    "nothing.py": CONFIG + "  pass\n",
    "number.py": CONFIG + "  return 3\n",
    "dict.py": CONFIG + "  return {'stepz': 1}\n",
    "missing.py": "x = 1\n",
    "empty.py": "",
    "binary.py": "\0\1\2",
    "exits.py": "raise SystemExit('no')\n",
    "value.py": "get_config = 3\n",
    "deleted.py": CONFIG + "  c = beta_vae.get_config('toy'); del c.data; return c\n",
    "text.py": CONFIG + "  c = beta_vae.get_config('toy')\n  with c.ignore_type(): c.data = 'x'\n"
    "  return c\n",
    "sweep_int.py": CONFIG + "  c = beta_vae.get_config('toy')\n  with c.unlocked(): c.sweep = 3\n"
    "  return c\n",
    "sweep_empty.py": CONFIG + "  c = beta_vae.get_config('toy')\n"
    "  with c.unlocked(): c.sweep = {}\n  return c\n",
    "sweep_axis.py": CONFIG + "  c = beta_vae.get_config('toy')\n"
    "  with c.unlocked(): c.sweep = (('seeds', (1, 2)),)\n  return c\n",
    "sweep_twice.py": CONFIG + "  c = beta_vae.get_config('toy')\n"
    "  with c.unlocked(): c.sweep = (('seed', (1, 1)),)\n  return c\n",
    "sweep_none.py": CONFIG + "  c = beta_vae.get_config('toy')\n"
    "  with c.unlocked(): c.sweep = (('seed', (None,)),)\n  return c\n",
}
ROW = {"member": None, "step": 1, "layer": 0, "representation": "mean", "value": 0.5}
ROW |= {"protocol": "dlib", "metric": "mig", "method": "m", "settings": {}, "data": {}}
ROW |= {"run": "r", "seed": 0}  # of scores.json
VALUES = {  # key of the config -> values on the command line
    "steps": "0 -1 1.5 x 2147483648 1e9",
    "batch_size": "0 -4 1.5 x 100000000000",
    "seed": "-1 4294967296 0.5 x",
    "model.latent_dim": "0 -1 1000000000 x",
    "model.num_layers": "0 -1 x",
    "model.name": "vea 3",
    "model.encoder": "cov 3",
    "model.dtype": "float31 int32",
    "data.name": "tay shapes folder arrays mapped records dsprites tfds:",
    "data.image_size": "0 -1 100000 x",
    "data.path": "/nothing",
    "data.source.kind": "strem pairs.py no/such.py:f",
    "objective.name": "elb x.y:z",
    "objective.likelihood": "l2",
    "objective.layers": "som",
    "objective.scale": "-1 nan inf x",
    "objective.terms.kl.betas": "-1 0 nan inf x (1.0,2.0)",
    "objective.terms.kl.kind": "presure [[]]",
    "optimizer.learning_rate": "-1 nan inf x",
    "optimizer.b1": "1.0 2.0 -0.1 nan",
    "train.log_every": "0 -1 3 x",
    "train.checkpoint_every": "0 7 x",
    "train.keep": "0 -1 x",
    "train.non_finite": "ignore",
    "eval.samples": "0 19 -1 x 2147483647",
    "eval.metrics": "('migg',) 3 ('json:loads',)",
    "parallel.mode": "pjit",
    "parallel.devices": "-1 99 x",
    "matmul_precision": "float16",
    "train.eval_every": "-1 3",
    "train.tensorboard": "3",
    "optimizer.b2": "1.0 1.5",
    "optimizer.eps": "nan -1",
    "optimizer.warmup_steps": "-1 nan",
    "optimizer.decay_steps": "-1 x",
    "data.noise": "-1 nan x",
    "data.channels": "2 x",
    "data.on_error": "go",
    "data.continuous": "('x',)",
    "data.nuisance": "('x',)",
    "model.latents": "singel",
    "model.init": "torhc",
    "model.convolution": "fasst",
    "model.width": "0 -1 x",
    "nothing": "1",
    "data.nothing": "1",
}


def cases(folder):
    """(command, arguments) of every bad input; what it needs lies in `folder`."""
    work = str(folder / "new")
    train = ["--config=beta_vae:toy", f"--workdir={work}", "--config.train.progress=false"]
    for key, values in VALUES.items():
        for value in values.split():
            yield "train", [*train, f"--config.{key}={value}"]
    for name, content in FILES.items():
        (folder / name).write_text(content)
        command = "sweep" if name.startswith("sweep") else "train"
        yield command, [f"--config={folder / name}", f"--workdir={work}"]
    (folder / "file").write_text("in the way")
    (folder / "other").mkdir()
    (folder / "other" / "thesis.tex").write_text("precious")
    for place in ("file", "other", "file/run", "x" * 300):
        yield "train", [train[0], f"--workdir={folder / place}"]
    yield "train", [train[0], "--workdir=/proc/run"]
    for more in (["--nothing"], ["word"], ["--steps=3"], ["--profile=-1"], ["--profile=x"]):
        yield "train", [*train, *more]
    for more in ("coordinator=x:1", "processes=2", "process=0", "local_devices=0"):
        yield "train", [*train, f"--{more}"]  # without --distributed
    for command in ("train", "sweep"):
        yield command, [f"--config={'sweeps/toy' if command == 'sweep' else 'toy'}", "--workdir="]
    yield "train", [*train, "--config.data.name=folder", "--config.data.path=/proc"]
    factor_vae = ["--config=factor_vae:toy", *train[1:]]
    for option in ("width=0", "width=-1", "depth=-1", "depth=1000000"):
        yield "train", [*factor_vae, f"--config.objective.terms.discriminator.{option}"]
    for flags in ([], [train[1]], ["--config=beta_vea", train[1]], ["--config=", train[1]]):
        yield "train", flags
    yield "train", ["--config=beta_vae:toyy", train[1]]
    yield "sweep", ["--config=beta_vae:toy", train[1]]
    yield "sweep", ["--config=sweeps/toy", train[1], "--at_once=-1"]
    for number, text in enumerate(("null", "[1]", "3", '{"steps": 1}', "{", "", "[" * 9999)):
        run = folder / f"run{number}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "config.json").write_text(text)
        (run / "scores.json").write_text(text)
        yield "evaluate", [f"--workdir={run}"]
        yield "visualize", [f"--workdir={run}"]
        yield "report", [f"--runs={run}"]
        yield "train", [train[0], f"--workdir={run}"]
    (folder / "good").mkdir()
    (folder / "good" / "scores.json").write_text(json.dumps([ROW]))
    for flags in ("--metrics=migg", "--protocol=x", "--layer=9", "--layer=x", "--layer=-1"):
        yield "report", [f"--runs={folder / 'good'}", flags]
    (folder / "damaged").mkdir()
    (folder / "damaged" / "scores.json").write_text("[")
    yield "report", [f"--runs={folder / 'damaged'}"]
    for flags in ([], ["--workdir="], [f"--workdir={folder}/none"], [f"--workdir={folder}/other"]):
        yield "evaluate", flags
        yield "visualize", flags
    for flags in ("--seeds=0", "--seeds=x", "--layers=x", "--member=x"):
        yield "evaluate", [f"--workdir={folder / 'none'}", flags]
    yield "visualize", ["--data=tfds:", f"--out={folder}/out"]
    for flags in (["tay"], ["toy", "--image_size=x"], ["arrays"]):
        yield "visualize", [f"--data={flags[0]}", f"--out={folder}/out", *flags[1:]]
    (folder / "not.h5").write_bytes(b"no HDF5")
    (folder / "not.npz").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(folder / "odd.npz", "w") as file:
        file.writestr("imgs.npy", b"\x93NUMPY\x01\x00")
        file.writestr("latents_classes.npy", b"")
    np.savez(folder / "few.npz", imgs=np.zeros((4, 64, 64), "u1"), latents_classes=np.zeros((3, 6)))
    np.savez(
        folder / "nan.npz", imgs=np.zeros((4, 64, 64), "u1"), latents_classes=[[np.nan] * 6] * 4
    )
    np.savez(folder / "text.npz", imgs=np.zeros((4, 64, 64), "u1"), latents_classes=[["a"] * 6] * 4)
    for name in ("none", "not.h5", "not.npz", "odd.npz", "few.npz", "nan.npz", "text.npz", "other"):
        flags = [f"--from={folder / name}", f"--data_dir={folder}/tables", "--unverified"]
        yield "prepare_data", flags
    yield "prepare_data", []
    yield "prepare_data", ["--verify", f"--data_dir={folder}/tables"]
    yield "prepare_data", ["--tfds=mnist"]
    yield "prepare_data", ["--tfds=dsprites", "--tfds_dir=/proc/x"]
    yield from _of_studies(folder)


def _of_studies(folder):
    """As `cases`, of the commands for studies, for a cluster, and for measuring."""
    study = ["figure2", "--preset=smoke", f"--workdir={folder / 'new'}"]
    for flags in ([], study[:1], study[1:], ["figure22", *study[1:]], [*study, "figure4"]):
        yield "reproduce", flags
    for more in ("preset=smok", "workdir=", "workdir=/proc/run", "shard=2/2", "shard=x", "seeds=x"):
        yield "reproduce", [*study, f"--{more}"]
    for more in (f"rows={folder / 'none'}", "figure=x.pdf"):
        yield "reproduce", [*study, "--plan", f"--{more}"]
    (folder / "rows.jsonl").write_text("{\n")
    rows = f"--rows={folder / 'rows.jsonl'}"
    for flags in ([], ["pge"], ["gather"], ["gather", "--to=x.txt"], ["agreement"]):
        yield "results", flags
    for flags in ([rows, f"--page={folder}"], [rows, f"--page={folder / 'new'}"], ["--rows=none"]):
        yield "results", ["page", *flags]
    for flags in ([rows, "--tables=figure22"], ["--rows=none"]):
        yield "results", ["statistics", *flags]
    yield "results", ["agreement", f"--runs={folder / 'none'}"]
    for run in ("", "evaluate --workdir=a", "train", "train --workdir=", "train --workdir='a"):
        yield "slurm", [f"--run={run}"]
    job = f"--run=train --config=beta_vae:toy --workdir={folder / 'new'}"
    for more in (["--cluster=slrm"], ["--cluster=local", "--parameters=x"], ["--tasks=0"]):
        yield "slurm", [job, *more]
    yield "slurm", ["--run=train --config=beta_vae:toy --workdir=/proc/run", "--cluster=local"]
    for flags in (
        [],
        ["stepp"],
        ["step", "loop"],
        ["step", "--minutes=-1"],
        ["step", "--minutes=x"],
    ):
        yield "benchmark", flags
    yield "benchmark", ["compiled", "--platform=cdua"]


def tried(module, command, arguments, output):
    """The exit code of a command in a forked process; its terminal goes to the file `output`."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        with open(output, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.environ["JAX_PLATFORMS"] = "cpu"
        sys.argv = [f"devae-{command}", *arguments]
        code = 1
        try:
            module.console()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(code, text):
    if "Traceback" in text:
        return "traceback"
    if code == 0:
        return "accepted"
    told = [
        line for line in text.splitlines() if line.startswith(("error:", "FATAL Flags", "flag"))
    ]
    return "clear" if code in CLEAR and len(told) == 1 else f"unclear, exit code {code}"


def outcomes(command, of_it, folder):
    """[(arguments, outcome, what was printed)] of the cases of one command."""
    module = importlib.import_module(f"devae_jax.launch.{command}")
    import devae_jax.runs.results
    import devae_jax.runs.train  # noqa: F401  # children find it imported

    found = []
    for arguments in of_it:
        code = tried(module, command, arguments, folder / "terminal")
        text = (folder / "terminal").read_text(errors="replace")
        became = outcome(code, text)
        if became == "clear" and (folder / "new").exists():
            became = "clear, after something was written"
        shutil.rmtree(folder / "new", ignore_errors=True)
        found.append((arguments, became, text))
    return found


def main(word=""):
    """What became of every case: command -> outcome -> count; bad ones are printed."""
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        by_command = collections.defaultdict(list)
        for command, arguments in cases(folder):
            if word in " ".join(arguments):
                by_command[command].append(arguments)
        for command, of_it in by_command.items():
            read, write = os.pipe()
            child = os.fork()  # one process a command: they define the same flags
            if child == 0:
                with open(write, "w") as file:
                    json.dump(outcomes(command, of_it, folder), file)
                os._exit(0)
            os.close(write)
            with open(read) as file:
                found = json.load(file)
            os.waitpid(child, 0)
            for arguments, became, text in found:
                counts[became] += 1
                if became != "clear" or word:
                    print(f"{became}: {command} {' '.join(arguments)[:200]}\n  {text[-600:]}")
    print(", ".join(f"{number} {became}" for became, number in sorted(counts.items())))
    return counts


if __name__ == "__main__":
    main(*sys.argv[1:])
