"""Baselines of COMiT's Table 4 as families: what recipes become at the scales, and what is refused before training."""

import math
from copy import deepcopy
from pathlib import Path

import pytest

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.config.recipes import read_recipe
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Tokens
from tests.conftest import ROOT

FILE = Path("config/papers/comit.yaml")
ENTRIES = read_yaml(ROOT / FILE)


@pytest.fixture(scope="module")
def contexts():
    return {scale: read_project(ROOT, scale).context for scale in ("pocket", "paper")}


def resolved(context, base, **changes):
    """The spec's values of a recipe that differs from another one in dotted keys."""
    entries = deepcopy(ENTRIES["tokenizers"]) | {"mine": {"base": base}}
    for key, value in changes.items():
        *parents, last = key.split("__")
        at = entries["mine"]
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    recipe = read_recipe("tokenizers", "mine", entries, FILE, context.scale, context.scale_file)
    return specs.tokenizer(recipe, context).values


PAPER = {  # as many tokens, codes and values of a code as the table and the code of each say
    "flextok_d18_d28": Tokens(256, 6, "sequence", 64_000),
    "alit": Tokens(256, 12, "sequence", 1024),
    "selftok_512": Tokens(512, 16, "sequence", 32_768),
    "selftok_1024": Tokens(1024, 16, "sequence", 65_536),
}


@pytest.mark.parametrize("name", PAPER)
def test_tokens_of_the_papers(contexts, name):
    spec = resolved(contexts["paper"], name)
    assert tokens_of(spec["module"], spec["model"]) == PAPER[name]


def test_settings_of_the_papers(contexts):
    flextok = resolved(contexts["paper"], "flextok_d18_d28")["model"]
    assert flextok["encoder"] == {"width": 1152, "blocks": 18, "heads": 18}
    assert flextok["decoder"] == {"width": 1792, "blocks": 28, "heads": 28}
    assert math.prod(flextok["levels"]) == 64_000 and flextok["teacher"] == "dinov2_vitb14"
    assert flextok["flow"]["projection"] == {"momentum": -0.5, "norm_limit": 2.5, "parallel": 0.0}
    alit = resolved(contexts["paper"], "alit")["model"]
    assert (alit["latent_tokens"] // alit["new_tokens"], alit["pass_weights"][:3]) == (8, [2.5, 2.0, 1.5])
    selftok = resolved(contexts["paper"], "selftok_512")["model"]
    assert sum(selftok["stage_counts"]) == 512 and selftok["flow"]["steps"] == 50


def test_small_scales_keep_what_makes_a_family(contexts):
    pocket = contexts["pocket"]
    flextok, alit, selftok = (resolved(pocket, name)["model"] for name in ("flextok_d12_d12", "alit", "selftok_512"))
    assert flextok["teacher"] == "lite2" and flextok["representation"] == 1.0 and flextok["kept_law"] == "next_power"
    assert alit["latent_tokens"] // alit["new_tokens"] == 4
    assert selftok["latent_tokens"] == 2 * flextok["latent_tokens"] == 2 * alit["latent_tokens"]


def test_without_a_weight_no_teacher_is_asked(contexts):
    spec = resolved(contexts["pocket"], "flextok_d12_d12", representation=0.0)
    assert spec["model"]["teacher"] is None


REFUSED = {
    "tokens": ("flextok_d12_d12", {"latent_tokens": 200}, "needs a power of two, not 200 tokens"),
    "block": ("flextok_d12_d12", {"aligned_block": 12}, "block 12 of 12, counted from 0"),
    "times": ("flextok_d12_d12", {"mode_scale": 2.0}, "makes mode sampling fold back"),
    "guidance": ("flextok_d12_d12", {"flow__null_probability": 0.0}, "never learns to do without tokens"),
    "patches": ("selftok_512", {"patch_size": 24}, "is not divisible by patches of 24"),
    "passes": ("alit", {"new_tokens": 16}, "256 tokens cannot be added by 16 in at most 8 passes"),
    "stages": ("selftok_512", {"stage_ends": [0.5, 0.9]}, "do not rise from above 0 to 1"),
    "counts": ("selftok_512", {"stage_counts": [1]}, "give one for each of 5 stages"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_at_its_key(contexts, case):
    base, changes, problem = REFUSED[case]
    with pytest.raises(ConfigError, match=problem) as refused:
        resolved(contexts["paper"], base, **changes)
    assert "mine" in str(refused.value)
