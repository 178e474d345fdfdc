"""What of a sweep is done, running, failed and left, in lines to print."""

from collections.abc import Sequence

from devae_jax.files import in_words
from devae_jax.runs.sweep import Sweep

STATES = ("done", "running", "stopped", "waiting", "failed", "refused")


def status(sweep: Sweep, numbers: Sequence[int] | None = None) -> list[str]:
    """A line for the sweep, one for each program, and one for the time that is left.

    Args:
      numbers: of the programs to speak of; all if None.
    """
    numbers = range(len(sweep.programs)) if numbers is None else numbers
    lines, counts, left, at_work = [], dict.fromkeys(STATES, 0), 0, 0
    seconds = trained = 0.0
    for number in numbers:
        name, config, members = sweep.programs[number]
        record, holder = sweep.record(number), sweep.holder(number)
        seconds, trained = seconds + record.seconds, trained + record.trained
        state, about = record.state, f"{len(members)} members"
        reached = sweep.reached(number)
        try:
            done = holder is None and reached >= config.steps and sweep.finished(number)
        except ValueError as problem:
            done, state, record = False, "refused", record._replace(error=str(problem))
        if holder is not None:
            state = "running"
            about += f", by {in_words(holder)}, step {reached:,} of {config.steps:,}"
        elif done:
            state = "done"
        elif state in ("failed", "refused"):
            about += f": {record.error}"
        else:  # nobody is at it
            state = "stopped" if reached else "waiting"
            about += f", step {reached:,} of {config.steps:,}" if reached else ""
        counts[state] += 1
        at_work += state == "running"
        if state in ("running", "stopped", "waiting"):
            left += max(config.steps - reached, 0) * len(members)
        lines.append(f"program {number + 1}/{len(sweep.programs)} {name}: {state}, {about}")
    total = sum(len(sweep.programs[number].members) for number in numbers)
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    first = f"{total} members in {len(numbers)} programs: {said}"
    return [first, *lines, _time_left(left, seconds, trained, at_work)]


def _time_left(left: int, seconds: float, trained: float, at_work: int) -> str:
    """From the mean time of a member's step so far; programs of other shapes may differ."""
    if not left:
        return "time left: none"
    if not trained:
        return "time left: unknown until a program is finished"
    minutes = left * seconds / trained / max(at_work, 1) / 60
    return f"time left: about {minutes:,.1f} minutes, with {max(at_work, 1)} at work"
