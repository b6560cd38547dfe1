"""Can this way of measuring find, on this very model, a behaviour that a prompt of p tokens is known to bring out?

    recovery     share of the secrets of p tokens whose best prompt of P = p reaches .95 of the gap
    correction   median over the secrets of log2((d_90 + 1) / (p + 1)): by how many doublings the reading exceeds the
                 planted truth. Below 0 it reads less: a trained token can hold more than one of the vocabulary

A secret without a gap (the model behaves the same without it) is left out and counted. The gap is that between the bare
model and the secret itself, so the share needs no assumption.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.calibration.options import CalibrateOptions
from soft_prompts.calibration.reading import Cell, load_cell, read_cell
from soft_prompts.common.console import say
from soft_prompts.common.files import write_atomically
from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.planting import Planting, plant
from soft_prompts.experiments.sweep import run_all
from soft_prompts.results.paths import model_slug
from soft_prompts.stats.agreement import Estimate, median_with_interval, wilson
from soft_prompts.stats.distance import NO_GAP, Distance
from soft_prompts.tasks.known_source import KnownSourceTask
from soft_prompts.training.apparatus import load_for, run_paths

RECOVERED = 0.95  # share of the gap


class Recovery(NamedTuple):
    """What was read of one secret."""

    planted: int
    secret: tuple[int, ...]
    gap: float
    """Nats a token between the bare model and the secret."""
    has_gap: bool
    share: float | None
    """Of the gap, at P = p."""
    d_90: float | None
    """None: censored, or no gap."""
    results: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    model: str
    fingerprint: str
    recoveries: tuple[Recovery, ...]

    def recovery(self, planted: int | None = None) -> Estimate:
        """Share of the secrets (of p tokens, or of all) that were recovered, with Wilson's interval."""
        told = [one for one in self.recoveries if one.has_gap and planted in (None, one.planted)]
        return wilson(sum((one.share or 0.0) >= RECOVERED for one in told), len(told))

    def correction(self) -> Estimate:
        """Median of log2((d_90 + 1) / (p + 1)), its ends by bootstrap over secrets; an end of None is unbounded."""
        told = [one for one in self.recoveries if one.has_gap]
        found = [np.inf if one.d_90 is None else np.log2((one.d_90 + 1) / (one.planted + 1)) for one in told]
        return median_with_interval(found)

    def to_json(self) -> dict[str, Any]:
        lengths = sorted({one.planted for one in self.recoveries})
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "recovery": self.recovery()._asdict(),
            "recovery_by_planted_tokens": {str(p): self.recovery(p)._asdict() for p in lengths},
            "correction_log2": self.correction()._asdict(),
            "without_gap": sum(not one.has_gap for one in self.recoveries),
            "secrets": [one._asdict() for one in self.recoveries],
        }


def plantings(options: CalibrateOptions) -> list[Planting]:
    """One for each length of a secret."""
    return [
        Planting(
            tokens,
            secrets=options.secrets,
            candidates=max(16, options.secrets),
            target_tokens=options.target_tokens,
            training=options.samples,
        )
        for tokens in dict.fromkeys(options.tokens)
    ]


def settings(options: CalibrateOptions, planting: Planting, learning_rate: float = 1.0) -> RunConfig:
    """Of the runs on one planting."""
    return RunConfig(
        KnownSourceTask(),
        options.model,
        0,
        revision=options.revision,
        prompt="direct",
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or learning_rate,
        weight_decay=0.0,
        sample_tokens=planting.length,
        validation_samples=planting.validation,
        test_samples=planting.test,
        checkpoint_every=options.steps,
        data_workers=0,
        device=options.device,
        output_dir=options.output_dir,
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
    )


def certify(options: CalibrateOptions) -> Certificate:
    """Plant, train, read; whatever was made before is read. Raises InputError or UsageError in one line."""
    frozen = load_for(settings(options, plantings(options)[0]))
    rate = float(f"{frozen.vocabulary.float().pow(2).mean().sqrt().item():.2g}")  # two digits: alike on every machine
    recoveries = []
    for planting in plantings(options):
        for planted in plant(frozen, planting, options.output_dir):
            p = planting.prompt_tokens
            base = replace(settings(options, planting, rate), data=str(planted.samples))
            cell = Cell(base, tuple(sorted({max(1, p // 2), p, 2 * p})), options.seeds, "zero", searched_tokens=p)
            recoveries.append(recovered(cell, p, planted.secret))
            say(_line(recoveries[-1]))
    return Certificate(options.model, frozen.fingerprint, tuple(recoveries))


def recovered(cell: Cell, planted: int, secret: tuple[int, ...]) -> Recovery:
    """Train on one secret's samples and read them; a search start is tried where plain ones fall short.

    Raises RuntimeError where a run failed.
    """
    if failures := run_all([*cell.configs(), *cell.anchors()]):
        raise RuntimeError(failures[0])
    distance = read_cell(cell, load_cell(cell))
    if distance.d_90.reason != NO_GAP and (_share(distance, planted) or 0.0) < RECOVERED:
        if failures := run_all(cell.searched()):
            raise RuntimeError(failures[0])
        distance = read_cell(cell, load_cell(cell))
    zero = distance.anchors.zero or 0.0
    return Recovery(
        planted,
        secret,
        gap=zero - distance.anchors.saturation,
        has_gap=distance.d_90.reason != NO_GAP,
        share=_share(distance, planted),
        d_90=distance.d_90.value,
        results=tuple(str(run_paths(config).result) for config in cell.configs()),
    )


def _share(distance: Distance, tokens: int) -> float | None:
    """Of the prompt chosen at exactly so many tokens."""
    zero, end = distance.anchors.zero, distance.anchors.saturation
    loss = next((point.loss for point in distance.points if point.tokens == tokens), None)
    return None if loss is None or zero is None or zero <= end else (zero - loss) / (zero - end)


def _line(one: Recovery) -> str:
    if not one.has_gap:
        return f"p = {one.planted}: the model behaves alike without this secret (gap {one.gap:.4f} nats a token)"
    d_90 = "censored" if one.d_90 is None else f"{one.d_90:.2f}"
    return f"p = {one.planted}: gap {one.gap:.4f} nats a token, share at P = p {one.share or 0:.3f}, d_90 {d_90}"


def calibrate_command(options: CalibrateOptions) -> int:
    """Print the certificate and write it to calibration/ in the output folder."""
    certificate = certify(options)
    path = certificate_path(options.output_dir, certificate)
    text = json.dumps(certificate.to_json(), indent=2, allow_nan=False) + "\n"
    write_atomically(path, text.encode())
    print(text if options.json else certificate_text(certificate), end="")
    say(f"written to {path}")
    return 0


def certificate_path(output_dir: Path, certificate: Certificate) -> Path:
    """One a model."""
    return output_dir / "calibration" / f"{model_slug(certificate.model)}.json"


def certificate_text(certificate: Certificate) -> str:
    """For a terminal."""
    lines = [f"calibration certificate of {certificate.model} ({certificate.fingerprint})", ""]
    lines += [_line(one) for one in certificate.recoveries]
    lines += ["", f"recovered at P = p (share of the gap >= {RECOVERED}): {_shown(certificate.recovery(), '.2f')}"]
    lines += [f"correction, median log2((d_90 + 1) / (p + 1)): {_shown(certificate.correction(), '+.2f')} doublings"]
    return "\n".join(lines) + "\n"


def _shown(estimate: Estimate, form: str) -> str:
    if estimate == (None, None, None):
        return "none: no secret has a gap"
    value, low, high = ("censored" if number is None else format(number, form) for number in estimate)
    return f"{value} [{low}, {high}]"
