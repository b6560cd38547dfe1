"""Is a result found again by what it is for? Names of roles and their facts are part of every path."""

import pytest

from soft_prompts.config import RunConfig, as_json
from soft_prompts.results import roles
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.training.apparatus import run_paths

STORED = (  # where results of these roles lie since the first version
    (roles.RUN, "mlp-4t-s0-62b525e6"),
    (roles.NoSkill(), "anchor-no_skill-mlp-4t-s0-dd2dfb37"),
    (roles.NoSkill("bare"), "anchor-no_skill-mlp-4t-s0-116dbfe8"),
    (roles.Exact(), "anchor-exact-mlp-4t-s0-efeba93b"),
    (roles.FewShot(), "anchor-few_shot-mlp-4t-s0-5c6b60d8"),
    (roles.Placebo(), "anchor-placebo-mlp-4t-s0-dd1ef8c6"),
    (roles.PlaceboBos(), "anchor-placebo_bos-mlp-4t-s0-686fbb79"),
    (roles.HardPrompt("search"), "anchor-hard_prompt-mlp-4t-s0-497c6d6f"),
    (roles.HardPrompt("projection", "a/b"), "anchor-hard_prompt-mlp-4t-s0-45fea932"),
    (roles.Lora(), "anchor-lora-mlp-4t-s0-c72df09a"),
    (roles.FullFineTune(), "anchor-full-mlp-4t-s0-b0efa377"),
    (roles.PermutedTargets(), "control-permuted_targets-mlp-4t-s0-123297fc"),
    (roles.RandomStrings(), "control-random_strings-mlp-4t-s0-b311abee"),
    (roles.RandomWeights(), "control-random_weights-mlp-4t-s0-8605e1a7"),
    (roles.Half(), "battery-half-mlp-4t-s0-373c4b0c"),
    (roles.OtherRate(), "battery-rates-mlp-4t-s0-3a3bc396"),
    (roles.OtherStart("a/b"), "battery-initialisations-mlp-4t-s0-48e49c49"),
    (roles.FreshSeed(), "battery-seeds-mlp-4t-s0-f0ad6586"),
    (roles.Longer(), "battery-longer-mlp-4t-s0-a5df1ecd"),
    (roles.Rounded(4, "a/b"), "code-4-mlp-4t-s0-8e119959"),
)


@pytest.mark.parametrize(("role", "name"), STORED, ids=lambda value: value if isinstance(value, str) else value.name)
def test_a_role_has_the_path_that_it_always_had(role: roles.Role, name: str) -> None:
    config = RunConfig(ChessTask(), "tiny-chess", 4, role=role)
    assert run_paths(config).snapshot.name == name


def test_facts_stand_in_the_config_of_a_result() -> None:
    config = as_json(RunConfig(ChessTask(), "tiny-chess", 4, role=roles.HardPrompt("projection", "a/b")))
    assert (config["role"], config["found_by"], config["made_from"]) == ("anchor:hard_prompt", "projection", "a/b")
    assert "role" not in as_json(RunConfig(ChessTask(), "tiny-chess", 4))
    assert as_json(RunConfig(ChessTask(), "tiny-chess", 4, role=roles.Rounded(2, "a/b")))["role"] == "code:2"


def test_a_misspelt_fact_is_an_error() -> None:
    with pytest.raises(TypeError, match="grown_form"):
        roles.OtherStart(grown_form="a/b")  # pyright: ignore[reportCallIssue]
