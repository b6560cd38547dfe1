"""Which metrics can be compared? What the results hold, and how many of them hold each."""

from collections import Counter
from collections.abc import Iterable

from soft_prompts.results.schema import Result


def metric_lines(results: Iterable[Result]) -> list[str]:
    """A line a metric that any run has a value of, with its unit, how many have it and of how many it is the headline;
    the most frequent first."""
    runs = [result for result in results if result.role == "run"]
    found: Counter[tuple[str, str]] = Counter()
    headlines = Counter(run.headline for run in runs)
    for run in runs:
        found.update((name, metric.unit) for name, metric in run.metrics.items() if metric.value is not None)
    name_width = max((len(name) for name, _ in found), default=0)
    unit_width = max((len(unit) for _, unit in found), default=0)
    return [
        f"{name:<{name_width}}  {unit:<{unit_width}}  {count} of {len(runs)} results"
        + (f"  headline of {headlines[name]}" if headlines[name] else "")
        for (name, unit), count in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
