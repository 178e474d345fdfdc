"""Importing the package keeps freed memory, counted in page faults: a busy machine changes none."""

import os
import subprocess
import sys

import pytest

from devae_jax.allocator import SWITCH, keep_freed_memory

# A step whose result of 80 MB is freed, after the device has been used, as in a notebook. At
# first some results find no gap of their size: glibc aligns a buffer by taking more than it needs.
PROGRAM = """
import resource
import devae_jax, jax, jax.numpy as jnp

numbers = jax.device_put(jnp.ones(20_000_000), jax.devices()[0])
step = jax.jit(jnp.square)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step(numbers).block_until_ready()
looks = [faults()]
for _ in range(11):
    step(numbers).block_until_ready()
    looks.append(faults())
print(sorted(after - before for before, after in zip(looks, looks[1:]))[5])
"""
PAGES = 80_000_000 // os.sysconf("SC_PAGE_SIZE")

glibc = pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")


def faults_of_a_step(**variables):
    """Page faults of a step in a process of its own, the median."""
    inherited = {name: value for name, value in os.environ.items() if name != SWITCH}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@glibc
def test_a_step_reuses_the_memory_of_the_last_one():
    assert faults_of_a_step() < PAGES / 20


@glibc
def test_the_switch_leaves_the_c_library_as_it_is():
    assert faults_of_a_step(**{SWITCH: "0"}) > PAGES / 2


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_platforms_are_left_alone(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("ctypes.CDLL", None)  # calling it would fail
    assert not keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not keep_freed_memory()
