"""What every entry point does first and last."""

import contextlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from devae_jax.files import StorageError
from devae_jax.names import printable, unknown

EXIT_BAD_INPUT = 2  # config, data or folder
EXIT_NON_FINITE = 3  # the loss became NaN or infinite
EXIT_STORAGE = 4  # the disk is full, gone or read-only; what was saved before is whole
EXIT_PIPE = 141  # nobody reads the output any more, as shells say it
EXIT_STOPPED = 75  # saved on SIGTERM or SIGINT, or a process was lost; the same command goes on
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)  # as in training.loop

NO_CONFIGS = ("__init__", "base", "variants", "presets")  # no configs, though beside them


class Stopped(BaseException):
    """One of `STOPS` came outside the training loop, which saves by itself."""


def stop_on_signals() -> None:
    """From here on `STOPS` end the command in order, with code 75; a second one at once."""

    def stop(number: int, _: Any) -> None:
        for each in STOPS:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(f"stopped by {signal.Signals(number).name}: the same command goes on")

    for number in STOPS:
        signal.signal(number, stop)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """What signals do is after the block what it was before."""
    old = {number: signal.getsignal(number) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def run(
    main: Callable[..., int | None], commands: Sequence[str] = (), *, files: bool = False
) -> None:
    """Runs `main` as an absl app; mistakes of the user end in one line, not a traceback.

    Args:
      commands: what the first argument may be, passed to `main`; empty: no arguments.
      files: the name of a Python file may stand there, too.
    """

    def guarded(argv: list[str]) -> int:
        logging.set_verbosity(logging.WARNING)
        arguments = argv[1:]
        try:
            if commands and len(arguments) != 1:
                got = " ".join(arguments) or "no command"
                raise ValueError(f"got {got}, expected one of {', '.join(commands)}; see --help")
            own = files and arguments[0].endswith(".py")
            if commands and arguments[0] not in commands and not own:
                raise unknown("argument", arguments[0], commands)
            if arguments and not commands:
                raise ValueError(f"got argument {argv[1]!r}, expected only --flags; see --help")
            code = main(*arguments) or 0
            sys.stdout.flush()
            return code
        except Stopped as signalled:
            print(signalled, file=sys.stderr)
            return EXIT_STOPPED
        except Exception as error:
            known = verdict(error)
            if known is None:
                raise
            code, text = known
            if code == EXIT_PIPE:  # what is still to be written has no reader either
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            else:
                tell(text)
            return code

    with _handlers_kept():
        app.run(guarded, flags_parser=_parse)


def verdict(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the line for an error that is no fault of the program; else None."""
    if isinstance(error, BrokenPipeError):  # who reads, `head` or `less`, has seen enough
        return EXIT_PIPE, ""
    if os.environ.get("DEVAE_TRACEBACK"):
        return None
    if isinstance(error, StorageError):
        return EXIT_STORAGE, str(error)
    if isinstance(error, ValueError):
        return EXIT_BAD_INPUT, str(error)
    absent = _absent(error)
    if absent is None:
        return None
    return EXIT_BAD_INPUT, (
        f"got JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS')!r}, expected a platform of this "
        f"machine ({absent}); fix or unset it"
    )


def _absent(error: BaseException) -> str | None:
    """What JAX says of a platform that is not there; None for other errors."""
    if isinstance(error, RuntimeError) and "Unable to initialize backend" in str(error):
        return str(error).splitlines()[0]
    # JAX leaves cuda out where no NVIDIA GPU is visible, and then has no platform at all.
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AssertionError) and frames[-1].filename.endswith("xla_bridge.py"):
        return "no NVIDIA GPU is visible"
    return None


def tell(error: object) -> None:
    """An error on the terminal, which nothing that stands in a file can steer."""
    print(f"error: {printable(str(error), keep=chr(10))}", file=sys.stderr)


def _parse(argv: list[str]) -> list[str]:
    """The flags; what is wrong in a config ends in one line too."""
    given = list(argv)
    try:
        given = _with_config_files(argv)
        left = flags.FLAGS(given)
        for name in flags.FLAGS:  # ml_collections keeps the OSErrors of config files for later
            value: Any = flags.FLAGS[name].value
            if type(value).__name__ == "_ErrorConfig":
                raise value._error
        return left
    except (Exception, SystemExit) as error:
        place = _place(error, given)
        known = (flags.Error, OSError, ValueError, AttributeError, KeyError, TypeError)
        if not (place or isinstance(error, known)) or os.environ.get("DEVAE_TRACEBACK"):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        text = lines[-1].strip().removeprefix("ValueError: ")
        if place:
            text = f"got {place}, expected a config file that runs; fix that line"
        elif isinstance(error, AttributeError | KeyError):  # ml_collections', quoted twice
            text = re.sub(r"[\\\"']", "", str(error).replace("\\n", "; "))
            text = f"got an unknown key of --config, {text}"
        tell(text)
        sys.exit(EXIT_BAD_INPUT)


def _place(error: BaseException | None, argv: Sequence[str]) -> str:
    """ "FILE, line N: reason" of an error in a config file that the arguments name; else ""."""
    files = [argument.removeprefix("--config=").partition(":")[0] for argument in argv]
    while error is not None:
        frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError):
            file = error.filename or next(filter(os.path.isfile, files), "")  # none: no text
            frames.append((file, error.lineno or 1))
        kind = type(error).__name__
        for file, line in reversed(frames):
            if file in files and not isinstance(error, flags.Error):
                reason = getattr(error, "msg", None) or str(error).strip().partition("\n")[0]
                return ": ".join(filter(None, (f"{file}, line {line}", kind, reason)))
        error = error.__cause__ or error.__context__
    return ""


def _with_config_files(argv: Sequence[str]) -> list[str]:
    """The arguments, with the file of every config that is given by its name."""
    found = list(argv)
    for i, argument in enumerate(found):
        if re.match(r"--?config=", argument):
            flag, _, value = argument.partition("=")
            found[i] = f"{flag}={config_file(value)}"
        elif re.fullmatch(r"--?config", argument) and i + 1 < len(found):
            found[i + 1] = config_file(found[i + 1])
    return found


def config_file(value: str) -> str:
    """The file, "file.py:variants", of a config given as a file or by its name in the library.

    "devae:toy" and "configs/devae.py:toy" name the same installed config wherever a command
    is run; a file that exists is taken as it is.

    Raises:
      ValueError: neither a file nor such a name; names the nearest.
    """
    place, colon, variants = value.partition(":")
    if Path(place).is_file():
        return value
    from devae_jax import configs

    folder = Path(configs.__path__[0])
    name = place.removeprefix("configs/").removesuffix(".py")
    known = sorted(
        path.relative_to(folder).with_suffix("").as_posix()
        for path in folder.rglob("*.py")
        if path.stem not in NO_CONFIGS
    )
    if name in known:
        return f"{folder / name}.py{colon}{variants}"
    if place.endswith(".py") and Path(place).parent.is_dir():  # a slip in the user's own folder
        beside = sorted(map(str, Path(place).parent.glob("*.py")))
        if beside:
            raise unknown("--config", place, beside)
    raise unknown("--config", name, known)


def enable_compilation_cache() -> None:
    """Compiled programs are kept between runs, so that the second start takes seconds."""
    import jax

    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    folder = Path(cache).expanduser() / "devae_jax" / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
