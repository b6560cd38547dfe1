"""Would such a search find a behaviour in this very model, had it one? Secrets of p tokens are planted in what it says,
and sought with prompts of p and of 2 p tokens.

    recovered    secrets of which a prompt closes half of the gap between the bare model and the secret itself

A secret without a gap (the model says the same without it) is left out and counted. Each search is a result of the role
`power:planted`: whoever reads results of this model later, with these among them, quotes what they say of it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.analysis.battery import FOUND
from soft_prompts.calibration.options import CalibrateOptions
from soft_prompts.common.console import say
from soft_prompts.common.files import write_atomically
from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.planting import Planting, plant
from soft_prompts.experiments.evidence.power import SAMPLES, SHARE, TARGETS
from soft_prompts.experiments.sweep import run_all
from soft_prompts.results.files import read_result
from soft_prompts.results.paths import model_slug
from soft_prompts.results.roles import PlantedSecret
from soft_prompts.stats.proportions import wilson
from soft_prompts.tasks.known_source import SelfPlantedTask
from soft_prompts.training.apparatus import load_for, run_paths, settled

OWN_TEXT = Planting(1, secrets=1, candidates=1, target_tokens=TARGETS, **SAMPLES)
"""What is asked: to go on from a few words of the model's own. The secret of this text is of no account."""


class Search(NamedTuple):
    """One prompt that was to find a secret."""

    planted: int
    """Tokens of the secret."""
    tokens: int
    """Of the prompt."""
    secret: int
    seed: int
    share: float | None
    """Of the gap; None: there is no gap."""
    result: str


class Recovered(NamedTuple):
    """How many of the searches for secrets of p tokens with prompts of P found theirs."""

    planted: int
    tokens: int
    recovered: int
    tried: int
    low: float
    high: float
    """Wilson's interval of the share."""


@dataclass(frozen=True)
class Certificate:
    """Power of a search in one model, for one budget."""

    model: str
    fingerprint: str
    steps: int
    searches: tuple[Search, ...]

    def power(self) -> list[Recovered]:
        """By tokens of the secret and of the prompt; nothing of those without a gap."""
        found = []
        for planted, tokens in sorted({(one.planted, one.tokens) for one in self.searches}):
            shares = [one.share for one in self.searches if (one.planted, one.tokens) == (planted, tokens)]
            known = [share for share in shares if share is not None]
            if known:
                recovered = sum(share >= FOUND for share in known)
                found.append(Recovered(planted, tokens, recovered, len(known), *wilson(recovered, len(known))))
        return found

    @property
    def without_gap(self) -> int:
        """Secrets that change nothing of what the model says."""
        return len({(one.planted, one.secret) for one in self.searches if one.share is None})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "steps": self.steps,
            "power": [one._asdict() for one in self.power()],
            "without_gap": self.without_gap,
            "searches": [one._asdict() for one in self.searches],
        }


def certify(options: CalibrateOptions) -> Certificate:
    """Plant, train, read; whatever was made before is read. Raises InputError or UsageError in one line, and
    RuntimeError where a run failed."""
    base = settled(settings(options))
    frozen = load_for(base)
    rate = float(f"{frozen.vocabulary.float().pow(2).mean().sqrt().item():.2g}")  # two digits: alike on every machine
    say(f"{options.model}: drawing {OWN_TEXT.samples} samples of its own text")
    text = plant(frozen, OWN_TEXT, options.output_dir)[0].samples
    base = replace(base, data=str(text), learning_rate=options.learning_rate or rate)
    runs = [run for planted in dict.fromkeys(options.tokens) for run in searches_for(base, planted, options)]
    if failures := run_all(runs):
        raise RuntimeError(failures[0])
    return Certificate(options.model, frozen.fingerprint, options.steps, tuple(map(_read, runs)))


def settings(options: CalibrateOptions) -> RunConfig:
    """Of every search, but for its data, tokens and rate."""
    return RunConfig(
        SelfPlantedTask(),
        options.model,
        0,
        revision=options.revision,
        prompt="direct",
        steps=options.steps,
        batch_size=options.batch_size,
        weight_decay=0.0,
        sample_tokens=OWN_TEXT.length,
        validate_every=max(1, options.steps // 4),
        checkpoint_every=options.steps,
        data_workers=0,
        device=options.device,
        dtype=options.dtype,
        output_dir=options.output_dir,
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
    )


def searches_for(base: RunConfig, planted: int, options: CalibrateOptions) -> list[RunConfig]:
    """With as many tokens as the secrets have, and twice as many."""
    return [
        replace(base, tokens=tokens, seed=seed, role=PlantedSecret(planted, secret))
        for tokens in (planted, 2 * planted)
        for secret in range(options.secrets)
        for seed in dict.fromkeys(options.seeds)
    ]


def _read(config: RunConfig) -> Search:
    path, role = run_paths(config).result, config.role
    assert isinstance(role, PlantedSecret)
    share = read_result(path).metrics[SHARE].value
    return Search(role.planted_tokens, config.tokens, role.secret, config.seed, share, str(path))


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
    lines = [f"{certificate.model}: secrets planted in it, and sought in {certificate.steps} steps", ""]
    lines += _lines(certificate.power()) or ["no secret changes what this model says: its searches have no known power"]
    if certificate.without_gap:
        lines.append(f"{certificate.without_gap} secrets that change nothing of what it says are left out")
    return "\n".join(lines) + "\n"


def _lines(power: Sequence[Recovered]) -> list[str]:
    lines = [f"{'secret of':>12}{'prompt of':>12}{'found':>12}   95 %"] if power else []
    for one in power:
        found, ends = f"{one.recovered} of {one.tried}", f"{one.low:.2f} to {one.high:.2f}"
        lines.append(f"{one.planted:>12}{one.tokens:>12}{found:>12}   {ends}")
    return lines
