"""Files: written whole or not at all, by one process at a time; rows that survive a crash."""

import contextlib
import datetime
import errno
import json
import math
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 2  # of config.json, checkpoints and scores: raised when their meaning changes
BEAT = 30.0  # seconds between two signs of life of a lock's owner
DEAD = 600.0  # seconds without one after which an owner elsewhere is given up
FULL = (errno.ENOSPC, errno.EDQUOT)


class StorageError(OSError):
    """A disk that is full, gone or read-only; what was written before is whole."""


class FormatError(ValueError):
    """Another version of the library wrote this."""


class LockedError(ValueError):
    """Another process writes here."""


def readable(written: Mapping[str, Any], what: str) -> dict[str, Any]:
    """What was written, less the "format" that it says it has; where it says none it is this one.

    Raises:
      FormatError: another version wrote it; says which.
    """
    found = written.get("format", FORMAT)
    if found != FORMAT:
        age = "a later" if isinstance(found, int) and found > FORMAT else "an earlier"
        raise FormatError(
            f"got {what} in format {found!r} of {age} devae_jax, expected {FORMAT}; read it with "
            "the version that wrote it"
        )
    return {key: value for key, value in written.items() if key != "format"}


def jsonable(value: Any) -> Any:
    """Arrays as lists, and NaN (not measured) as null."""
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def write_bytes(path: str | Path, content: bytes) -> None:
    """Atomically: a reader sees the old file or the new one, never a part.

    Raises:
      StorageError: there is no room, no permission or no folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with storing(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):  # moved into its place, or its folder vanished
                temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """As `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any, *, indent: int | None = None) -> None:
    """As `write_bytes`; NaN becomes null."""
    write_text(path, json.dumps(jsonable(value), indent=indent) + "\n")


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, up to one cut short by a crash or without a step."""
    return rows_of(Path(path).read_text(errors="replace") if Path(path).exists() else "")


def rows_of(text: str) -> list[dict[str, Any]]:
    """As `read_rows`, of a file's text."""
    rows = []
    for line in text.splitlines():
        try:
            row = parsed(line)
        except ValueError:
            break
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            break
        rows.append(row)
    return rows


def parsed(text: str) -> Any:
    """JSON from a file that anyone may have written. Raises ValueError, of one line."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("too many brackets in each other") from error


@contextlib.contextmanager
def storing(path: str | Path) -> Iterator[None]:
    """Turns what the disk refuses inside the block into one line that names `path`.

    Raises:
      StorageError: in the place of any OSError.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(path, error) from error


def check_room(folder: str | Path, size: int) -> None:
    """That `size` bytes fit into the disk of a folder, before some are written.

    Raises:
      StorageError: they do not, or there is no such folder.
    """
    with storing(folder):
        disk = os.statvfs(folder)
        if disk.f_blocks and size > disk.f_bavail * disk.f_frsize:  # some network disks say 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """The error for a write to `path` that failed."""
    do = "free some space" if error.errno in FULL else "look at the folder and its permissions"
    reason = error.strerror or error or type(error).__name__
    return StorageError(
        f"got {reason} writing {path}, expected to write there; "
        f"{do}, then give the same command again: what was saved before is whole"
    )


@contextlib.contextmanager
def claimed(path: str | Path, what: str) -> Iterator[None]:
    """Holds the lock file `path` for the length of the block, so that one process writes `what`.

    The file is made with O_EXCL, which network folders honour too, names its owner, and is
    touched every half minute. That of a dead owner is taken over: its process is gone from this
    machine, or on another machine ten minutes without a touch have passed, by the clock of the
    folder.

    Raises:
      LockedError: says who writes, where and since when.
      StorageError: the lock cannot be written.
    """
    path, mine = Path(path), this_process()
    with storing(path):
        if not (_made(path, mine) or _taken_over(path, mine) or _made(path, mine)):
            raise LockedError(in_use(_read_owner(path), what))
    stopped = threading.Event()
    threading.Thread(target=_beat, args=(path, stopped), daemon=True).start()
    try:
        yield
    finally:
        stopped.set()
        with contextlib.suppress(OSError):  # of a folder that vanished
            if _read_owner(path).get("id") == mine["id"]:
                path.unlink()


def this_process() -> dict[str, Any]:
    """Who this process is. Machines of one name differ in their boot or process namespace."""
    return {
        "id": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "place": _place(),
        "pid": os.getpid(),
        "born": _born(os.getpid()),
        "since": datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds"),
    }


def _place() -> str:
    """This boot and process namespace of this machine, where a process number has a meaning."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _born(pid: int) -> str:
    """When a process began, which tells it from a later one of its number; "" if unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_here(owner: Mapping[str, Any]) -> bool:
    """Whether a process is of this machine, so that `alive` can say whether it runs."""
    return owner.get("place") == _place()


def alive(owner: Mapping[str, Any]) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return owner.get("born") in (None, _born(owner["pid"]))


def _made(path: Path, owner: Mapping[str, Any]) -> bool:
    try:
        with path.open("x") as file:
            file.write(json.dumps(owner) + "\n")
    except FileExistsError:
        return False
    return True


def _read_owner(path: Path) -> dict[str, Any]:
    try:
        return owner_in(path.read_text())
    except (OSError, ValueError):
        return {}


def owner_in(text: str) -> dict[str, Any]:
    """What a lock says, nothing if it is not whole."""
    owner: Any = None
    with contextlib.suppress(ValueError):
        owner = parsed(text)
    pid = owner.get("pid") if isinstance(owner, dict) else None
    return owner if type(pid) is int and 0 < pid < 2**31 else {}


def holder(path: str | Path) -> dict[str, Any] | None:
    """Who holds a lock: "host", "pid", "since"; {} if it does not say, None if nobody living."""
    owner = _read_owner(Path(path))
    return owner if Path(path).exists() and not _dead(Path(path), owner) else None


def _dead(path: Path, owner: Mapping[str, Any]) -> bool:
    """Whether the owner of a lock is gone from this machine, or silent elsewhere."""
    return not alive(owner) if is_here(owner) else _silence(path) > DEAD


def _taken_over(path: Path, mine: Mapping[str, Any]) -> bool:
    """Puts this process's lock in the place of a dead owner's; False if another is in time.

    The right to do so is itself a file that one process can make, named after the dead owner;
    that of a process which died with the right is taken over in the same way. Whoever has it
    looks again, as another may have taken over and given the right back meanwhile.
    """
    owner = _read_owner(path)
    if not _dead(path, owner):
        return False
    right = path.with_name(f".{path.name[:9]}.{owner.get('id', 'unknown')}.tmp")
    if not _made(right, mine) and not _taken_over(right, mine):
        return False
    try:
        if _read_owner(path) != owner or not path.exists() or not _dead(path, owner):
            return False
        write_json(path, mine)
        return True
    finally:
        right.unlink(missing_ok=True)


def _silence(path: Path) -> float:
    """Seconds since the lock was touched, by the clock of its folder."""
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def in_words(owner: Mapping[str, Any]) -> str:
    """Who holds a lock, as `holder` found it."""
    if not owner:
        return "another process"
    return f"process {owner['pid']} on {owner.get('host')} since {owner.get('since')}"


def in_use(owner: Mapping[str, Any], what: str) -> str:
    """That somebody else writes, as text."""
    return (
        f"got {what} that {in_words(owner)} is writing, expected one writer; wait "
        "until it has ended, or choose another place"
    )


def _beat(path: Path, stopped: threading.Event) -> None:
    while not stopped.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
