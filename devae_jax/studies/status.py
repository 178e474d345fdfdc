"""What of a study is done, running, failed and left, in lines to print."""

from devae_jax.runs import status as programs
from devae_jax.studies.given import Given, left
from devae_jax.studies.make import Programs
from devae_jax.studies.members import Study


def status(study: Study, given: Given) -> list[str]:
    """As `runs.status.status`, of the programs that are trained here; others are in given rows."""
    every = range(len(study.programs))
    numbers = left(study, given, every)
    served = [study.programs[number].name for number in every if number not in numbers]
    lines = programs.status(Programs(study, finish=lambda runs: None), numbers)
    return [*lines, *[f"in the given rows: {', '.join(served)}"] * bool(served)]
