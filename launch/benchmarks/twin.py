"""The published DeVAE in plain PyTorch: what the library's step is compared with."""

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from devae_jax.allocator import SWITCH


def load_torch():
    """The module `torch`.

    Raises:
      ValueError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            "got no PyTorch, expected it as the peer of this benchmark; install it with "
            "pip install 'devae_jax[bench]'"
        ) from error
    return torch


def choose_threads(step: Callable[[], object]) -> int:
    """Gives PyTorch one thread or one a core, whichever is faster here, and says how many.

    Its threads wait for each other in a busy loop, which takes many times longer than one
    thread alone wherever other processes want the cores too.
    """
    torch = load_torch()
    best = {}
    for threads in {1, len(os.sched_getaffinity(0))}:
        torch.set_num_threads(threads)
        step()
        walls = []
        for _ in range(5):
            start = time.perf_counter()
            step()
            walls.append(time.perf_counter() - start)
        best[threads] = min(walls)
    fastest = min(best, key=lambda threads: best[threads])
    torch.set_num_threads(fastest)
    return fastest


def network(latent_dim: int, num_layers: int, image_shape: Sequence[int], width: int = 32):
    """A torch.nn.Module: encoder, K latent layers joined by DiT, one decoder, for 32 or 64 pixels.

    Its `loss(images [B, C, H, W], betas)` is the sum over layers of cross-entropy and weighted
    KL divergence in nats, mean over the batch.
    """
    torch = load_torch()
    from torch import nn
    from torch.nn import functional

    size, channels = image_shape[0], image_shape[-1]
    maps = [channels] + [width] * (2 if size == 64 else 1) + [2 * width] * 2
    units = 8 * width

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            layers = []
            for before, after in itertools.pairwise(maps):
                layers += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
            layers += [nn.Conv2d(maps[-1], units, 4), nn.ReLU(), nn.Flatten()]
            self.encoder = nn.Sequential(*layers, nn.Linear(units, 2 * latent_dim))
            inputs = latent_dim * (2 if num_layers > 1 else 1)
            layers = [nn.Linear(inputs, units), nn.ReLU(), nn.Unflatten(1, (units, 1, 1))]
            layers += [nn.ConvTranspose2d(units, maps[-1], 4)]
            for before, after in itertools.pairwise(maps[::-1]):
                layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
            self.decoder = nn.Sequential(*layers)
            self.w1 = nn.Parameter(torch.zeros(num_layers - 1, latent_dim))
            self.w2 = nn.Parameter(torch.zeros(num_layers - 1, latent_dim))
            self.embedding = nn.Embedding(num_layers, latent_dim) if num_layers > 1 else None

        def loss(self, images, betas):
            mean, logvar = self.encoder(images).chunk(2, 1)
            total = 0.0
            for layer, beta in enumerate(betas):
                if layer:
                    mean = mean * self.w1[layer - 1].exp()
                    logvar = logvar + self.w2[layer - 1]
                z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
                if self.embedding is not None:
                    z = torch.cat([z, self.embedding.weight[layer].expand(len(z), -1)], 1)
                error = functional.binary_cross_entropy_with_logits(
                    self.decoder(z), images, reduction="sum"
                )
                kl = 0.5 * (mean.square() + logvar.exp() - logvar - 1.0).sum()
                total = total + (error + beta * kl) / len(images)
            return total

    return Twin()


def stepper(
    images: np.ndarray,
    betas: Sequence[float],
    *,
    latent_dim: int = 10,
    width: int = 32,
    device: str = "cpu",
    channels_last: bool = False,
    compiled: bool = False,
) -> Callable[..., object]:
    """A call that takes one Adam step, on the batch `images` [B, H, W, C] unless given another."""
    torch = load_torch()
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    twin = network(latent_dim, len(betas), images.shape[1:], width)
    twin = twin.to(device=device, memory_format=layout)
    batch = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
    batch = batch.to(device=device, memory_format=layout)
    optimizer = torch.optim.Adam(twin.parameters(), 1e-4)
    loss_of = torch.compile(twin.loss) if compiled else twin.loss

    def step(batch=batch):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(batch, betas)
        loss.backward()
        optimizer.step()
        return loss

    return step


@contextlib.contextmanager
def apart(
    images: np.ndarray, betas: Sequence[float], *, steps: int, threads: int, **how: object
) -> Iterator[Callable[[], object]]:
    """A call that takes `steps` steps in a process that does not keep freed memory.

    As those have it who install PyTorch alone; in this process `allocator` speeds it up too.
    """
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {SWITCH: "0"}
    )
    assert child.stdin is not None and child.stdout is not None
    asks, answers = child.stdin, child.stdout
    pickle.dump((images, tuple(betas), threads, how), asks)

    def call() -> None:
        asks.write(b"%d\n" % steps)
        asks.flush()
        if not answers.readline():
            raise RuntimeError("PyTorch's process ended")

    try:
        yield call
    finally:
        asks.close()
        child.wait()


def serve() -> None:
    """The other side of `apart`: what to build, then a number of steps a line."""
    images, betas, threads, how = pickle.load(sys.stdin.buffer)
    load_torch().set_num_threads(threads)
    step = stepper(images, betas, **how)
    for line in sys.stdin.buffer:
        for _ in range(int(line)):
            step()
        print(flush=True)


def loader(images: np.ndarray, batch: int) -> Iterator:
    """Endless batches from a torch DataLoader over uint8 images, one item a time, in process."""
    torch = load_torch()
    from torch.utils import data

    pixels = (images * 255).astype(np.uint8)

    class Images(data.Dataset):
        def __len__(self):
            return 16 * len(pixels)

        def __getitem__(self, index):
            image = pixels[index % len(pixels)].transpose(2, 0, 1)
            return torch.from_numpy(image.astype(np.float32) / 255.0)

    batches = data.DataLoader(Images(), batch_size=batch, shuffle=True, drop_last=True)
    while True:
        yield from batches
