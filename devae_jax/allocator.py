"""Memory that a step freed is kept for the next one."""

import ctypes
import os
import sys

SWITCH = "DEVAE_KEEP_MEMORY"  # "0" leaves the C library as it is
# Parameters of glibc's mallopt, from its malloc.h. One arena, as only the main heap can hold
# buffers over 64 MB; none by mmap; the heap's end goes back to the kernel from 2 GB on only.
_ONE_ARENA, _NO_MMAP, _TRIM, _PAD = (-8, 1), (-4, 0), (-1, 2**31 - 1), (-2, 2**28)


def keep_freed_memory() -> bool:
    """Lets glibc reuse freed buffers instead of returning them to the kernel; says if it does.

    XLA:CPU allocates its temporaries anew at every step. Without this the kernel maps and clears
    all their pages again, which takes as long as the rest of the step. The setting is the
    process's: memory that other code frees is kept too. It must come before JAX's devices are
    first used: threads that have an arena of their own by then keep it. Done where `devae_jax` is
    imported; nothing happens with another C library, or with DEVAE_KEEP_MEMORY=0.
    """
    if sys.platform != "linux" or os.environ.get(SWITCH) == "0":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):  # musl's mallopt, if any, is another
        return False
    return all(libc.mallopt(*pair) for pair in (_ONE_ARENA, _NO_MMAP, _TRIM, _PAD))
