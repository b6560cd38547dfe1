"""Would this search have found a prompt, had there been one? Secrets of p tokens are planted in the very model, as its
own answers behind a secret text, and sought with the budget of a run.

Nothing of the model is changed: `planting` draws the answers. A search has found its secret where the prompt closes
half of the gap between the bare model and the secret itself, on answers that it was not trained on.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.planting import Planting, losses_behind, plant
from soft_prompts.experiments.evidence.wanted import plain_run
from soft_prompts.results.metrics import per_unit
from soft_prompts.results.roles import PlantedSecret
from soft_prompts.results.schema import Metric
from soft_prompts.tasks.known_source import KnownSourceTask
from soft_prompts.tasks.task import DataRequest, Example
from soft_prompts.training.apparatus import Apparatus, load_for
from soft_prompts.training.measures import Measured, measure_losses

SECRETS = 10
PART = 4  # a secret has one token in so many of the prompt that is to find it
CONTEXT, TARGETS = 2, 8  # tokens of a sample
SAMPLES = {"training": 1024, "validation": 64, "test": 128}
CANDIDATES = 20  # random secrets that the ten are chosen from
SURE = 3  # standard errors by which a secret has to change what the model says
SHARE, PLANTED = "share_of_planted_gap", "planted_tokens"  # metrics of a result


def power_runs(base: RunConfig) -> list[RunConfig]:
    """The search of a run of so many tokens, for each of the secrets: its steps, samples, rate and start."""
    plain = plain_run(base)
    planted = max(1, base.tokens // PART)
    init = "vocabulary" if base.init == "grown" else base.init  # there is no smaller prompt to grow from
    return [replace(plain, init=init, role=PlantedSecret(planted, secret)) for secret in range(SECRETS)]


def can_plant(base: RunConfig) -> bool:
    """Plant the secrets that `power_runs` of this base seek; where the model gives no room for them, that is said."""
    try:
        plant(load_for(base), planting_for(power_runs(base)[0]), base.output_dir)
    except (InputError, UsageError) as error:
        say(f"power: no secret can be planted in {base.model}: {error}")
        return False
    return True


def planting_for(config: RunConfig) -> Planting:
    """How the secrets are drawn that a result of this role is about."""
    planted = _role(config).planted_tokens
    targets = max(1, min(TARGETS, config.sample_tokens - CONTEXT))
    return Planting(planted, SECRETS, CANDIDATES, CONTEXT, targets, **SAMPLES)


def with_secret(at: Apparatus) -> Apparatus:
    """The model's own answers behind the secret, in place of the task's data, under the name of these."""
    planting = planting_for(at.config)
    samples = plant(at.frozen, planting, at.config.output_dir)[_role(at.config).secret].samples
    request = DataRequest(str(samples), None, planting.length, planting.validation, planting.test)
    opened = KnownSourceTask().open(request, at.frozen.tokenizer)
    data = dataclasses.replace(opened, name=at.data.name, fingerprint=at.data.fingerprint)
    data.train, data.test = at.data.train, at.data.test
    return at._replace(data=data)


def measure_found(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """How much of the gap the prompt closed; nothing of the task, whose items these are not."""
    measured, exact = measure_losses(at, validation, test, batch_size), at.data.exact_test_nats()
    if exact is None:
        raise ValueError(f"{at.config.role.name} has no planted secret")
    items, headline = measured.items, at.config.task.headline
    bare = losses_behind(at.frozen, (), list(test))
    gap = per_unit(bare - exact, items.scored_tokens, items.cluster, "nats/token")
    closed = per_unit(bare - items.loss_nats, items.scored_tokens, items.cluster, "nats/token")
    share = Metric(None, reason="the model says the same without the secret", unit="share of the gap")
    if gap.value is not None and closed.value is not None and gap.value > SURE * (gap.stderr or 0.0):
        share = Metric(closed.value / gap.value, None, gap.n, "share of the gap")
    of_task = Metric(None, reason="a planted secret is no item of the task", unit=f"nats/{at.config.task.unit}")
    own = {} if headline == "test_loss" else {headline: of_task}
    planted = Metric(float(_role(at.config).planted_tokens), None, 1, "tokens")
    return measured._replace(metrics=measured.metrics | own | {SHARE: share, PLANTED: planted})


def _role(config: RunConfig) -> PlantedSecret:
    if not isinstance(config.role, PlantedSecret):
        raise ValueError(f"{config.role.name} is about no planted secret")
    return config.role
