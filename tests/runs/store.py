"""A store in a folder, for tests: whole files by their keys, no renames, no appends, no clock."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any, ClassVar

from etils import epath

from tests.laws.registry import config_of

RUN = "stand-in://bucket/run"


@epath.register_path_cls("stand-in://")
@dataclasses.dataclass(frozen=True)
class StandIn:
    """`stand-in://key`, as much of a path as stores have; `FOLDER` must be set."""

    address: str

    FOLDER: ClassVar[Path]
    before: ClassVar[Any] = staticmethod(lambda action, key: None)  # called with each change

    @property
    def _file(self) -> Path:
        return self.FOLDER / self.key

    @property
    def key(self) -> str:
        return self.address.removeprefix("stand-in://")

    def __str__(self):
        return self.address

    def joinpath(self, *parts):
        return StandIn("/".join([self.address, *parts]))

    def __truediv__(self, part):
        return self.joinpath(part)

    @property
    def name(self):
        return self.address.rpartition("/")[2]

    @property
    def parent(self):
        return StandIn(self.address.rpartition("/")[0])

    def exists(self):
        return self._file.exists()

    def is_dir(self):
        return self._file.is_dir()

    def iterdir(self):
        return [self / item.name for item in self._file.iterdir()]

    def mkdir(self, parents=False, exist_ok=False):
        """Folders come with their files."""

    def read_bytes(self):
        return self._file.read_bytes()

    def read_text(self):
        return self.read_bytes().decode()

    def write_bytes(self, content):
        self.before("write", self.key)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part = self.FOLDER.with_name(f"{self.FOLDER.name}.part")
        part.write_bytes(content)
        part.replace(self._file)

    def write_text(self, text):
        self.write_bytes(text.encode())

    def unlink(self, missing_ok=False):
        self.before("delete", self.key)
        self._file.unlink(missing_ok=missing_ok)
        folder = self._file.parent
        while folder != self.FOLDER and not any(folder.iterdir()):  # without files there is none
            shutil.rmtree(folder)
            folder = folder.parent

    def stat(self):
        about = self._file.stat()
        size, time = about.st_size, int(about.st_mtime)
        return epath.stat_utils.StatResult(is_directory=self.is_dir(), length=size, mtime=time)


def tell(monkeypatch, before):
    monkeypatch.setattr(StandIn, "before", staticmethod(before))


def files_in(folder):
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    return {name: file.read_bytes() for name, file in found.items() if file.is_file()}


def toy(steps=8):
    config = config_of("vae")
    config.steps, config.parallel.devices = steps, 1
    config.train.update({"log_every": 2, "checkpoint_every": 2, "eval_every": 0, "keep": 2})
    return config
