"""A table as programs and members, in a folder: which run is where, before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from devae_jax.program import keys, sweep
from devae_jax.program.sweep import Group
from devae_jax.runs.folder import Folder
from devae_jax.studies.setting import setting
from devae_jax.studies.table import Line, Preset, Table, config_of


class Member(NamedTuple):
    """One run of a table: a seed of a line, and its place in a population.

    config: its own
    """

    line: Line
    seed: int
    program: int
    number: int
    config: Any

    @property
    def setting(self) -> str:
        """What decides its numbers, as a digest, see `setting`."""
        return setting(self.config)


class Study(NamedTuple):
    """A table at a size, planned.

    preset: its name; `size` is what it says
    at_once: members that train in one program, of each group of lines, in order
    programs: each trains in the folder of its name below `path`
    """

    path: Path
    name: str
    table: Table
    preset: str
    size: Preset
    programs: list[Group]
    members: list[Member]
    at_once: list[int]

    def folder(self, program: int) -> Folder:
        """Where a program trains."""
        return Folder(self.path / self.programs[program].name)

    def of_program(self, program: int) -> list[Member]:
        """The members of a program, in its order."""
        found = [member for member in self.members if member.program == program]
        return sorted(found, key=lambda member: member.number)

    def round(self, program: int) -> int:
        """In which round over the seeds a program is trained: that of its first seed."""
        return min(member.seed for member in self.of_program(program))


def planned(
    path: Path,
    name: str,
    table: Table,
    preset: str,
    size: Preset,
    *,
    at_once: Callable[[int, Group], int] = lambda number, group: len(group.members),
) -> Study:
    """Every member of a table; lines of one config that differ in numbers share a program.

    Args:
      at_once: how many members of a group, the n-th, train in one program, if the preset does
        not say it.

    Raises:
      ValueError: a line's config, changes or numbers are wrong, or `size` has no seeds.
    """
    if size.seeds < 1:
        raise ValueError(f"got {size.seeds} seeds, expected 1 or more; fix --seeds")
    programs: list[Group] = []
    members: list[Member] = []
    sizes: list[int] = []
    for config_name in dict.fromkeys(line.config for line in table.lines):
        lines = [line for line in table.lines if line.config == config_name]
        base = config_of(lines[0], size)
        wanted = [(line, seed) for line in lines for seed in range(size.seeds)]
        groups, places = sweep.grouped(base, [{**x.changes, "seed": seed} for x, seed in wanted])
        first = []  # program and how many in each, of each group
        for group in groups:
            count = size.at_once or at_once(len(sizes), group)
            first.append((len(programs), count))
            sizes.append(count)
            prefix = Path(config_name).name.replace(".py", "", 1)  # also of a file of one's own
            prefix = prefix.strip(":,").replace(":", "-").replace(",", "-")
            programs += [
                part._replace(name=f"{prefix},{part.name}") for part in sweep.split(group, count)
            ]
        for (line, seed), (group_number, number) in zip(wanted, places, strict=True):
            start, count = first[group_number]
            program, member = start + number // count, number % count
            numbers = programs[program].members[member]
            config = keys.laid_over(programs[program].config, numbers)
            members.append(Member(line, seed, program, member, config))
    called = [program.name for program in programs]
    if len(set(called)) < len(called):
        twice = next(each for each in called if called.count(each) > 1)
        raise ValueError(
            f"got two programs {twice!r} of the table, each a folder, expected configs in files of "
            "different names; rename one"
        )
    order = {id(line): i for i, line in enumerate(table.lines)}
    members.sort(key=lambda member: (order[id(member.line)], member.seed))
    return Study(path, name, table, preset, size, programs, members, sizes)
