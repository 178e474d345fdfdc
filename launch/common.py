"""What every entry point does first and last."""

import ctypes
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging

from devae_jax.names import unknown

EXIT_BAD_INPUT = 2  # config, data or folder
EXIT_NON_FINITE = 3  # the loss became NaN or infinite
EXIT_STOPPED = 75  # saved on SIGTERM or SIGINT; the same command goes on


def run(main: Callable[..., int | None], commands: Sequence[str] = ()) -> None:
    """Runs `main` as an absl app; mistakes of the user end in one line, not a traceback.

    Args:
      commands: what the first argument may be, passed to `main`; empty: no arguments.
    """
    keep_freed_memory()

    def guarded(argv: list[str]) -> int:
        logging.set_verbosity(logging.WARNING)
        arguments = argv[1:]
        try:
            if commands and (len(arguments) != 1 or arguments[0] not in commands):
                got = " ".join(arguments) or "no command"
                raise ValueError(f"got {got}, expected one of {', '.join(commands)}; see --help")
            if arguments and not commands:
                raise ValueError(f"got argument {argv[1]!r}, expected only --flags; see --help")
            return main(*arguments) or 0
        except ValueError as error:
            if os.environ.get("DEVAE_TRACEBACK"):
                raise
            print(f"error: {error}", file=sys.stderr)
            return EXIT_BAD_INPUT

    app.run(guarded, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """The flags; what is wrong in a config ends in one line too."""
    try:
        for name in argv:
            flag, _, value = name.partition("=")
            path = value.partition(":")[0]
            if flag == "--config" and not Path(path).is_file():
                raise unknown("--config", path, sorted(map(str, Path(path).parent.glob("*.py"))))
        return flags.FLAGS(argv)
    except (flags.Error, OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        if os.environ.get("DEVAE_TRACEBACK"):
            raise
        text = str(error).strip().splitlines()[-1].strip().removeprefix("ValueError: ")
        if isinstance(error, AttributeError | KeyError):  # ml_collections', quoted twice
            text = re.sub(r"[\\\"']", "", str(error).replace("\\n", "; "))
            text = f"got an unknown key of --config, {text}"
        print(f"error: {text}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def enable_compilation_cache() -> None:
    """Compiled programs are kept between runs, so that the second start takes seconds."""
    import jax

    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    folder = Path(cache).expanduser() / "devae_jax" / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def keep_freed_memory() -> None:
    """Lets glibc reuse freed buffers instead of returning them to the kernel.

    XLA:CPU allocates its temporary buffers anew at every step; without this, page faults cost
    about a third of a small step. No effect on other platforms.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for parameter, value in ((-8, 1), (-4, 0), (-1, 2**31 - 1), (-2, 2**28)):
            # M_ARENA_MAX = 1, as only the main heap holds buffers over 64 MB; M_MMAP_MAX = 0,
            # M_TRIM_THRESHOLD and M_TOP_PAD large; musl has no mallopt.
            getattr(libc, "mallopt", lambda *_: 0)(parameter, value)
