"""Every registered tokenizer and generator against its contract, at the smallest scale that has it; what is refused.

There is no second list of systems or of sizes here: both come from the registry and from the project's configuration,
to which tests/recipes adds recipes that no paper's file has yet.
"""

import ast
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tesserae import contracts
from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml
from tesserae.config.project import Project, read_project
from tesserae.config.recipes import concrete, read_recipe
from tesserae.config.registry import GENERATORS, TOKENIZERS, tokens_of
from tesserae.config.resolve import ResolvedRecipe, Tokens
from tesserae.config.stages import STAGES
from tesserae.costs.counts import count
from tesserae.costs.networks import FOUNDED
from tesserae.costs.phases import second_phase
from tesserae.data.ragged import write_ragged
from tesserae.encoders.teachers import CHANNELS
from tesserae.generators import maskgit_sampler
from tesserae.lineage import fingerprint
from tesserae.stages import codes, generator, ragged_codes, token_counts, tokenizer
from tesserae.stages.shared.ragged_codes import open_ragged_codes
from tesserae.stages.shared.tokenizers import (
    decode,
    encode,
    is_discrete,
    masks_patches,
    names_concepts,
    prompted,
)
from tesserae.training import weights
from tesserae.workflow.graph.tokenizers import tokenizer_spec_of
from tests.conftest import ROOT
from tests.stages.works import work
from tests.training.together import TRAINING

# MaskGIT on codes of one length: of the papers' recipes the smallest scale has only those of lengths that vary.
FIXED_LENGTH = {
    "maskgit": {
        "system": "maskgit",
        "size": "base",
        "tokenizer": "concepttok_bb64",
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "label_dropout": 0.1,
        "label_smoothing": 0.1,
        "unmasked_weight": 0.1,
        "training": {
            "steps": 10,
            "batch": 32,
            "lr": 2.0e-4,
            "decay": "cosine",
            "betas": [0.9, 0.96],
            "weight_decay": 0.03,
            "clip": 1.0,
            "ema": 0.999,
            "precision": "bf16",
            "seed": 0,
        },
        "sampling": {
            "steps": 8,
            "choice_temperature": 11.0,
            "softmax_annealing": True,
            "guidance_schedule": "linear",
            "guidance": [4.0],
        },
    }
}
SCALES = ("smoke", "pocket", "desk", "released", "paper")  # the smallest first
B = 2
SHARD = {"tokenizer": "toy", "batch": 4, "shard": 1}


class Case(NamedTuple):
    """One recipe of a system, as its stage gets it."""

    system: str
    module: str
    model: dict[str, Any]
    tokens: Tokens  # what the configuration says of the tokens it makes, or learns
    sampling: dict[str, Any]  # of a generator

    def build(self, device: str = "cpu") -> nn.Module:
        torch.manual_seed(0)
        with torch.device(device):
            return importlib.import_module(self.module).build(self.model)


@cache
def project(scale: str) -> Project:
    return read_project(ROOT, scale)


def others(scale: str, section: str = "tokenizers") -> dict[str, ResolvedRecipe]:
    """Recipes of tests/recipes under a scale."""
    found, context = {}, project(scale).context
    for file in sorted((ROOT / "tests/recipes").glob("*.yaml")):
        entries = read_yaml(file).get(section, {})
        for name in concrete(entries):
            found[name] = read_recipe(section, name, entries, file, context.scale, context.scale_file)
    return found


@cache
def tokenizers(scale: str) -> dict[str, Case]:
    """All tokenizer recipes of a scale; those of tests/recipes may be made from what the scale omits."""
    found, here = {}, project(scale)
    known = replace(here, tokenizers=here.every_tokenizer | here.tokenizers)
    for name, recipe in (here.tokenizers | others(scale)).items():
        spec = tokenizer_spec_of(known, recipe).values
        told = tokens_of(spec["module"], spec["model"])
        found[name] = Case(recipe.typed.system, spec["module"], spec["model"], told, {})
    return found


@cache
def generators(scale: str) -> dict[str, Case]:
    """All generator recipes of a scale."""
    found, context = {}, project(scale).context
    made = project(scale).tokenizers | others(scale)
    for name, recipe in {**project(scale).generators, **fixed_length(scale), **others(scale, "generators")}.items():
        source = made[recipe.typed.tokenizer]
        learned = specs.tokenizer(source, context)
        spec = specs.generator(recipe, learned, context.dataset(source)[1], context).values
        told = tokens_of(learned.values["module"], learned.values["model"])
        found[name] = Case(
            recipe.typed.system, spec["module"], spec["model"], told, specs.sampling(recipe, context).values
        )
    return found


def fixed_length(scale: str) -> dict[str, ResolvedRecipe]:
    """Recipes of FIXED_LENGTH at a scale that has their tokenizers."""
    file, scales, known = Path("tests"), project(scale).scale, project(scale).tokenizers
    entries = {name: entry for name, entry in FIXED_LENGTH.items() if entry["tokenizer"] in known}
    return {name: read_recipe("generators", name, entries, file, scales, file) for name in entries}


def smallest(recipes: Any, system: str) -> list[Case]:
    """One recipe of a system for each kind of side input and stage, at the smallest scale that has the system."""
    for scale in SCALES:
        if cases := [case for case in recipes(scale).values() if case.system == system]:
            return list({_kind(case): case for case in cases}.values())
    raise AssertionError(f"{system} is registered, but no scale has a recipe of it")


def _kind(case: Case) -> tuple[str, ...]:
    told = [case.model.get(key) for key in ("text", "learns")] + ["ragged" * case.tokens.ragged]
    return tuple(filter(None, told))


def each(recipes: Any, systems: Any) -> Any:
    """Parametrises a test by the smallest recipes of all systems of the registry."""
    cases = [(system, case) for system in systems for case in smallest(recipes, system)]
    names = ["-".join((system, *_kind(case))) for system, case in cases]
    return pytest.mark.parametrize("case", [case for _, case in cases], ids=names)


def images(case: Case) -> Tensor:
    side = case.model["image_size"]
    return 2 * torch.rand(B, 3, side, side, generator=torch.Generator().manual_seed(1)) - 1


def text(case: Case) -> Tensor | None:
    if case.model.get("text", "none") == "none":
        return None
    return torch.randn(
        B, case.model["text_tokens"], case.model["text_width"], generator=torch.Generator().manual_seed(2)
    )


def tokens(case: Case) -> Tensor:
    """Some as a generator learns them."""
    rng, told = torch.Generator().manual_seed(3), case.tokens
    if told.vocabulary is None:
        return torch.randn(B, told.length, told.width, generator=rng)
    codes = torch.randint(told.vocabulary, (B, told.length), generator=rng)
    if told.ragged:
        codes[0, -2:] = -1  # one image has fewer
    return codes


def assert_tokens(found: Tensor, told: Tokens) -> None:
    """What the configuration says of tokens is what they are."""
    if told.vocabulary is None:
        assert found.dtype == torch.float32 and found.shape == (B, told.length, told.width)
        assert found.isfinite().all()
    else:
        assert found.dtype == torch.int64 and found.shape == (B, told.length)
        assert found.min() >= (-1 if told.ragged else 0) and found.max() < told.vocabulary


def assert_losses(model: nn.Module, batch: dict[str, Tensor], step: int) -> None:
    """Each update's loss is finite and reaches the parameters of its group."""
    groups = model.parameter_groups()
    for group, terms, *_ in model.losses(batch, step, torch.Generator().manual_seed(4)):
        assert group in groups and all(term.isfinite() and term.ndim == 0 for term in terms.values())
        sum(terms.values()).backward()
        assert any(parameter.grad is not None for _, parameter in groups[group])
    assert all(type(model.no_weight_decay(*named)) is bool for some in groups.values() for named in some)


def saved_and_loaded(case: Case, model: nn.Module, folder: Any) -> nn.Module:
    file = folder / "weights.safetensors"
    weights.save(file, weights.used(model, model.state_dict()), case.module, case.model)
    return weights.load(file)


# ---- tokenizers -------------------------------------------------------------------------------------------------


@each(tokenizers, TOKENIZERS)
@torch.no_grad()
def test_a_tokenizer_makes_what_the_configuration_says_and_images_of_it(case):
    model, told = case.build().eval(), case.tokens
    contracts.check_tokenizer(model)
    assert model.tokens == told.length and is_discrete(model) == (told.vocabulary is not None)
    pictures, words = images(case), text(case)
    torch.manual_seed(1)
    found = encode(model, pictures, words)
    torch.manual_seed(2)
    assert torch.equal(found, encode(model, pictures, words))  # nothing is drawn
    assert_tokens(found, told)
    if is_discrete(model):
        assert model.vocabulary == told.vocabulary
        assert not told.ragged or torch.equal(model.lengths(found), (found >= 0).sum(1))
    else:
        posterior = model.posterior(pictures)
        assert model.latent_channels == told.width and torch.equal(posterior.mean, found)
        assert posterior.logvar.shape == found.shape
    rebuilt = decode(model, found, words)
    assert rebuilt.shape == pictures.shape and rebuilt.dtype == torch.float32 and rebuilt.isfinite().all()
    assert torch.equal(rebuilt, decode(model, found, words))
    if names_concepts(model):
        latents, logits = model.latents(pictures, words), model.concept_logits(pictures, words)
        assert latents.shape[:2] == (B, told.length) and logits.shape == (B, case.model["concepts"])
    module = importlib.import_module(case.module)
    if masks_patches(module):
        assert contracts.unmet(module, contracts.MasksPatches) == []
        assert module.mask_sweep(model, pictures, [0.0, 0.5, 0.9], 7).shape == (3, *pictures.shape)


@each(tokenizers, TOKENIZERS)
def test_a_tokenizer_has_losses_and_is_the_same_when_it_comes_back(case, tmp_path):
    model = case.build().train()
    batch = {"images": images(case), "labels": torch.zeros(B, dtype=torch.int64)}
    if (words := text(case)) is not None:
        batch["text"] = words
    if case.model.get("learns") == "codes":
        batch["codes"] = torch.zeros(B, (case.model["image_size"] // case.model["patch_size"]) ** 2, dtype=torch.int64)
    if case.model.get("concepts"):
        batch["concepts"] = torch.tensor([[0, 1, -1]] * B)
    if side := getattr(model, "teacher_side", 0):
        width = CHANNELS[case.model["teacher"]]
        batch |= {"teacher_pooled": torch.ones(B, width), "teacher_grid": torch.ones(B, side * side, width)}
    assert_losses(model, batch, second_phase(case.model) or 0)
    model.eval()
    again = saved_and_loaded(case, model, tmp_path)
    with torch.no_grad():
        found = encode(model, batch["images"], words)
        assert torch.equal(found, encode(again, batch["images"], words))
        assert torch.equal(decode(model, found, words), decode(again, found, words))


@pytest.mark.parametrize("system", TOKENIZERS)
def test_the_cost_of_a_tokenizer_can_be_counted(system):
    case = smallest(tokenizers, system)[0]
    used = count("coding", case.module, model=case.model, batch=B)
    assert min(used["encode"]["fp32"], used["decode"]["fp32"], used["weights"]) > 0
    if system in FOUNDED:
        with pytest.raises(ValueError, match="frozen network of its loss is not counted"):  # but measured, see costs
            count("training", case.module, model=case.model, batch=B, precision="fp32")
    else:
        assert count("training", case.module, model=case.model, batch=B, precision="fp32")["flops"]["fp32"] > 0


def distinct(cases: dict[str, Case]) -> Iterator[tuple[str, Case]]:
    """Each network once, however many recipes and seeds have it."""
    kinds = {json.dumps([case.module, case.model, case.tokens]): name for name, case in cases.items()}
    return ((name, cases[name]) for name in kinds.values())


@pytest.mark.parametrize("scale", SCALES)
def test_networks_of_every_scale_meet_their_contracts_at_its_sizes(scale):
    for name, case in distinct(tokenizers(scale)):
        model, told = case.build("meta"), case.tokens
        contracts.check_tokenizer(model)
        width = None if is_discrete(model) else model.latent_channels
        assert (model.tokens, width) == (told.length, None if told.vocabulary else told.width), name
        assert not is_discrete(model) or model.vocabulary == told.vocabulary, name
    for name, case in distinct(generators(scale)):
        contracts.check_generator(case.build("meta"))
        kind = "token_width" if case.tokens.vocabulary is None else "vocabulary"
        assert case.model[kind] == (case.tokens.vocabulary or case.tokens.width), name
        assert case.model["token_length"] == case.tokens.length, name


# ---- generators -------------------------------------------------------------------------------------------------


@each(generators, GENERATORS)
def test_a_generator_learns_tokens_and_its_sampler_makes_such(case, tmp_path):
    model, labels = case.build().train(), torch.arange(B) % case.model["classes"]
    contracts.check_generator(model)
    if case.tokens.ragged:
        model.count_lengths(tokens(case), labels)
    assert_losses(model, {"tokens": tokens(case), "labels": labels}, 0)
    sampler = importlib.import_module(case.sampling["module"])
    assert contracts.unmet(sampler, contracts.Sampler) == []
    search = case.sampling["search"]
    chosen = {"temperature": search["temperature"][0]} if "temperature" in search else {}
    settings = case.sampling["settings"] | chosen | {"guidance": search["guidance"][0]}
    model.eval()
    torch.manual_seed(1)
    drawn = sampler.sample(model, labels, seeds=[5, 6], **settings)
    assert_tokens(drawn, case.tokens)
    torch.manual_seed(2)
    again = saved_and_loaded(case, model, tmp_path)
    assert torch.equal(drawn, sampler.sample(again, labels, seeds=[5, 6], **settings))  # of the seeds alone


@pytest.mark.parametrize("system", GENERATORS)
def test_the_cost_of_a_generator_can_be_counted(system):
    case = smallest(generators, system)[0]
    assert count("training", case.module, model=case.model, batch=B, precision="fp32")["flops"]["fp32"] > 0
    sampler = {"module": case.sampling["module"], **case.sampling["settings"]}
    assert count("sampling", case.module, model=case.model, sampler=sampler, batch=B)["flops"]["fp32"] > 0


@pytest.mark.parametrize(("ragged", "places"), [(False, 0), (True, 0), (True, 3)])
def test_a_generator_is_told_how_its_sequences_differ(ragged, places, monkeypatch):
    described = told_of_lengths("maskgit", {}, ragged, places, monkeypatch).values["model"]
    assert described["ragged"] == ragged
    assert (described["places"], described["slots"]) == (places, described["token_length"])
    with torch.device("meta"):
        contracts.check_generator(importlib.import_module("tesserae.generators.maskgit").build(described))
    counted = count("training", "tesserae.generators.maskgit", model=described, batch=B, precision="fp32")
    assert counted["flops"]["fp32"] > 0


def test_sequences_that_do_not_fit_a_generator_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="llamagen learns as many codes of every image") as caught:
        told_of_lengths("llamagen", {}, True, 0, monkeypatch)
    assert "concepttok_bb64 makes more of some" in str(caught.value) and caught.value.key.endswith(".tokenizer")
    with pytest.raises(ConfigError, match="3 slots, and concepttok_bb64 makes up to") as caught:
        told_of_lengths("maskgit", {"slots": 3}, True, 0, monkeypatch)
    assert caught.value.key == "generators.maskgit.slots" and "or null" in caught.value.remedy


def test_published_weights_of_a_generator_are_read_by_its_own_module(monkeypatch):
    spec = told_of_lengths("maskgit", {"source": "official", "file": "titok/generator.bin"}, False, 0, monkeypatch)
    assert spec.values["official"]["importer"] == "tesserae.generators.maskgit_weights"
    assert importlib.import_module(spec.values["official"]["importer"]).load_official


def told_of_lengths(system: str, changes: dict, ragged: bool, places: int, monkeypatch: Any) -> Any:
    """The spec of a generator whose tokenizer makes sequences of one length or of many."""
    here = project("smoke")
    learned = specs.tokenizer(here.tokenizers["concepttok_bb64"], here.context)
    tokens = tokens_of(learned.values["module"], learned.values["model"])
    monkeypatch.setattr(specs, "tokens_of", lambda *told: tokens._replace(ragged=ragged, places=places))
    recipe = here.generators.get("llamagen_b_bb64")
    if system == "maskgit":
        entries = {system: FIXED_LENGTH[system] | changes}
        recipe = read_recipe("generators", system, entries, Path("tests"), here.scale, Path("tests"))
    return specs.generator(recipe, learned, here.context.dataset(here.tokenizers["concepttok_bb64"])[1], here.context)


# ---- what is refused --------------------------------------------------------------------------------------------


class Codes(nn.Module):
    """The least that a discrete tokenizer has: 4 codes of the mean brightness of quarters of an image."""

    tokens, vocabulary = 4, 8

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def encode(self, images, *, rng=None):
        level = images.mean(dim=1).unfold(1, 8, 8).unfold(2, 8, 8).mean(dim=(3, 4)).flatten(1)
        return ((level + 1) * 4).long().clamp(0, 7)

    def decode(self, tokens):
        level = self.scale * (tokens / 4 - 1)
        return level.view(-1, 1, 2, 2).repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1)

    def freeze_encoder(self):
        raise ValueError("nothing to freeze")

    def losses(self, batch, step, rng):
        yield "all", {"mse": (self.decode(self.encode(batch["images"])) - batch["images"]).square().mean()}

    def parameter_groups(self):
        return {"all": list(self.named_parameters())}

    def no_weight_decay(self, name, parameter):
        return True


class NoPosterior(Codes):
    """Neither discrete nor all that a continuous tokenizer has."""

    vocabulary = property()  # AttributeError, as if it were not there
    latent_channels = 1


class Halves(Codes):
    """Makes two codes of dark images and four of others."""

    def encode(self, images, *, rng=None):
        found = super().encode(images)
        return torch.where((found[:, :1] < 4) & torch.tensor([False, True, False, True]), -1, found)

    def lengths(self, codes):
        return (codes >= 0).sum(1)


class WithText(Codes):
    """Says whether it was given a prompt."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def encode(self, images, *, text=None, rng=None):
        return "encoded", text

    def decode(self, tokens, *, text=None):
        return "decoded", text


def changed(**members: Any) -> nn.Module:
    return type("Changed", (Codes,), members)()


def test_the_least_that_a_tokenizer_has_is_enough():
    for model in (Codes(), Halves(), WithText("encoder"), WithText("decoder"), WithText("none")):
        contracts.check_tokenizer(model)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (NoPosterior(), "it has no `posterior(images)` (Continuous)"),
        (changed(tokens=None), "its `tokens` is None, not an int (Tokenizer)"),
        (changed(decode=None), "its `decode` cannot be called as `decode(tokens)` (Tokenizer)"),
        (changed(encode=lambda self, images: 0), "its `encode` cannot be called as `encode(images, rng=)` (Tokenizer)"),
        (
            changed(losses=lambda self, batch: 0),
            "`losses` cannot be called as `losses(batch, step, rng)` (Trained)",
        ),
        (changed(text="encoder"), "its `encode` cannot be called as `encode(images, text=, rng=)` (PromptedEncoder)"),
        (changed(text="decoder"), "its `decode` cannot be called as `decode(tokens, text=)` (PromptedDecoder)"),
        (changed(text="both"), "its `text` is 'both', not 'none', 'encoder' or 'decoder' (Prompted)"),
        (changed(lengths=4), "its `lengths` cannot be called as `lengths(codes)` (OfVariableLength)"),
        (changed(concept_head=1), "it has no `concept_logits(images, text)` (NamesConcepts)"),
        (
            changed(vocabulary=property(), text="encoder", posterior=lambda self, images: 0, latent_channels=1),
            "its encoder reads prompts, which only discrete tokenizers do: it has no `vocabulary` (Discrete)",
        ),
    ],
)
def test_a_tokenizer_that_lacks_something_is_named_with_what_it_lacks(model, words):
    with pytest.raises(TypeError) as error:
        contracts.check_tokenizer(model)
    said = str(error.value)
    assert said.startswith(f"{__name__}.{type(model).__name__} does not meet the contract of tokenizers: ")
    assert words in said and said.endswith("The contract is written in tesserae.contracts (src/tesserae/contracts.py)")
    assert (ROOT / "src/tesserae/contracts.py").is_file()


def test_all_that_is_missing_is_said_at_once():
    with pytest.raises(TypeError) as error:
        contracts.check_tokenizer(nn.Identity())
    for name in ("losses", "parameter_groups", "no_weight_decay", "tokens", "encode", "decode", "freeze_encoder"):
        assert str(error.value).count(f"it has no `{name}") == 1
    with pytest.raises(TypeError, match=r"nn\..*Identity does not meet the contract of generators: it has no `losses"):
        contracts.check_generator(nn.Identity())


def test_what_a_protocol_declares_is_what_is_checked():
    class Less(Protocol):
        number: int

        def call(self, one: int, /) -> int: ...

    class More(Less, Protocol):
        def call(self, one: int, /, *, other: int, **settings: int) -> int: ...

    def found(call: Any) -> list[str]:
        return contracts.unmet(SimpleNamespace(number=1, call=call), Less, More)

    assert found(lambda one, *, other: 0) == found(lambda first, other, third, **rest: 0) == []
    assert found(lambda one, *, other, needed: 0) == []  # one of the settings
    wanted = ["its `call` cannot be called as `call(one, other=, **settings)` (More)"]
    assert found(lambda one: 0) == found(lambda *, one, other: 0) == found(None) == wanted
    assert contracts.unmet(SimpleNamespace(call=lambda one: 0), Less) == ["it has no `number` (Less)"]


@pytest.fixture
def unfit(monkeypatch) -> str:
    """The name of a module whose network meets no contract but for its name."""
    module = ModuleType("unfit")
    module.build = lambda model: NoPosterior() if model else nn.Identity()
    monkeypatch.setitem(sys.modules, "unfit", module)
    return "unfit"


@pytest.fixture
def corpus(monkeypatch) -> SimpleNamespace:
    """Six images of one brightness each, a dark one first."""
    pictures = np.full((6, 16, 16, 3), 200, np.uint8)
    pictures[::2] = 30
    data = SimpleNamespace(images=pictures, labels=np.zeros(6, np.int64))
    for stage in (tokenizer, codes, ragged_codes, token_counts):
        monkeypatch.setattr(stage, "open_cache", lambda folder, split: data)
    return data


def test_a_stage_refuses_before_it_trains(unfit, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer, "run_training", lambda *_: pytest.fail("it trained"))
    monkeypatch.setattr(generator, "run_training", lambda *_: pytest.fail("it trained"))
    monkeypatch.setattr(generator, "_discrete", lambda job: (None, np.zeros(6, np.int64)))
    refused = r"NoPosterior does not meet the contract of tokenizers: it has no `posterior\(images\)` \(Continuous\)\."
    trained = {"module": unfit, "model": {"some": 1}, "training": TRAINING}
    official = {"module": unfit, "model": {"some": 1}, "official": {"importer": "tesserae.nn.official", "file": "a"}}
    for spec in (trained, official):
        with pytest.raises(TypeError, match=refused):
            tokenizer.run(work("tokenizer", tmp_path, spec, inputs={"dataset": tmp_path}))
        with pytest.raises(TypeError, match="does not meet the contract of generators: it has no `losses"):
            generator.run(work("generator", tmp_path, spec | {"model": {}}))
    assert not list((tmp_path / "out").iterdir())


# ---- how stages use a tokenizer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["none", "encoder", "decoder"])
def test_prompts_go_to_who_reads_them(reader):
    model = WithText(reader)
    assert prompted(model) == reader
    assert encode(model, "images", "prompt") == ("encoded", "prompt" if reader == "encoder" else None)
    assert decode(model, "tokens", "prompt") == ("decoded", "prompt" if reader == "decoder" else None)
    assert prompted(Codes()) == "none" and decode(Codes(), torch.zeros(1, 4), "prompt").shape == (1, 3, 16, 16)


def test_codes_are_kept_and_counted(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(codes.weights, "load", lambda file: Codes())
    job = work("codes", tmp_path, SHARD | {"shards": 1}, inputs={"dataset": tmp_path, "tokenizer": tmp_path})
    codes.run(job)
    assert np.load(job.out / "codes.npy").tolist() == [[[0] * 4] * 2, [[6] * 4] * 2] * 3
    assert np.load(job.out / "counts.npy").tolist() == [12, 0, 0, 0, 0, 0, 12, 0]


def test_codes_of_different_length_are_kept_with_their_places(corpus, tmp_path, monkeypatch):
    """In parts of images, which are read as one."""
    corpus.images[3, :8, :8] = 100  # its second code differs, and that of its mirror image
    corpus.labels[:] = range(6)
    monkeypatch.setattr(ragged_codes.weights, "load", lambda file: Halves())
    folders = []
    for shard in (1, 2):
        folder = tmp_path / str(shard)
        folder.mkdir()
        job = work(
            "ragged_codes",
            folder,
            SHARD | {"shards": 2, "shard": shard},
            inputs={"dataset": tmp_path, "tokenizer": tmp_path},
        )
        numbers = ragged_codes.run(job)
        folders.append(job.out)
    assert {path.name for path in job.out.iterdir()} == set(STAGES["ragged_codes"].files)
    lengths = {"length": 8 / 3, "length_sd": pytest.approx(8**0.5 / 3), "shortest": 2, "longest": 4}
    assert numbers == {"images": 3, "vocabulary": 8, **lengths}
    found = open_ragged_codes(folders)
    assert found.lengths().tolist() == [2, 4, 2, 2, 2, 4] and found.labels.tolist() == list(range(6))
    read, places = found.at(np.array([5, 0]), np.array([0, 1]))
    assert read.tolist() == [[6, 6, 6, 6], [0, 0, -1, -1]] and places.tolist() == [[0, 1, 2, 3], [0, 2, -1, -1]]
    model = Halves()
    for views, mirror in ((corpus.images, 0), (corpus.images[:, :, ::-1], 1)):
        rows = model.encode(torch.from_numpy(views.copy()).permute(0, 3, 1, 2) / 127.5 - 1)
        read, places = found.at(np.arange(6), np.full(6, mirror))
        for code, place, wanted in zip(read, places, rows, strict=True):
            row = torch.full_like(wanted, -1)
            row[place[place >= 0]] = code[code >= 0]
            assert torch.equal(row, wanted)
        assert torch.equal(found.rows(np.arange(6), np.full(6, mirror), 4), rows)


def test_a_generator_learns_how_long_sequences_are_and_draws_such_ones(tmp_path):
    """As the stage runs it, on two parts; weights keep the lengths."""
    rows = np.array(
        [[5, 1, -1, 2], [5, 1, -1, 2], [6, -1, 3, -1], [6, -1, 3, -1]]
    )  # an image and its mirror image each
    inputs = {}
    for part, (codes_of, label) in enumerate(((rows[:2], 0), (rows[2:], 1)), start=1):
        folder = inputs[f"ragged_codes.{part}"] = tmp_path / str(part)
        folder.mkdir()
        write_ragged(folder, "codes", codes_of)
        write_ragged(folder, "places", np.where(codes_of >= 0, np.arange(4), -1))
        np.save(folder / "labels.npy", np.array([label]))
    told = {"token_length": 4, "vocabulary": 8, "classes": 2, "width": 16, "blocks": 1, "heads": 2, "slots": 4}
    told |= {"ragged": True, "places": 3, "dropout": 0.0, "attention_dropout": 0.0}
    told |= {"label_dropout": 0.1, "label_smoothing": 0.1, "unmasked_weight": 0.1}
    training = TRAINING | {"steps": 3, "batch": 2}
    job = work(
        "generator",
        tmp_path,
        {"module": "tesserae.generators.maskgit", "model": told, "training": training},
        inputs=inputs,
    )
    generator.run(job)
    trained = weights.load(job.out / "weights.safetensors")
    assert trained.length_counts.tolist() == [[0, 0, 0, 2, 0], [0, 0, 2, 0, 0]]
    found = maskgit_sampler.sample(
        trained,
        torch.tensor([0, 1, 1]),
        seeds=[1, 2, 3],
        guidance=1.0,
        steps=2,
        choice_temperature=1.0,
        guidance_schedule="linear",
        guidance_power=1.0,
        softmax_annealing=True,
    )
    assert (found >= 0).sum(1).tolist() == [3, 2, 2] and (found[:, 0] >= 0).all()


def test_tokens_of_images_are_counted(corpus, tmp_path, monkeypatch):
    """Of a tokenizer that makes as many of every image, nothing can be said of who gets more."""
    for tokenizer_, wanted in ((Halves(), [2, 4, 2, 4, 2, 4]), (Codes(), [4] * 6)):
        monkeypatch.setattr(token_counts.weights, "load", lambda file, model=tokenizer_: model)
        job = work(
            "token_counts", tmp_path, {"batch": 4, "patch_size": 4}, inputs={"dataset": tmp_path, "tokenizer": tmp_path}
        )
        token_counts.run(job)
        assert np.load(job.out / "lengths.npy").tolist() == wanted
        values = json.loads((job.out / "metrics.json").read_text())["values"]
        assert values["tokens"] == np.mean(wanted) and values["most"] == 4
        assert values.get("error_correlation") == (-1.0 if len(set(wanted)) > 1 else None)
        assert "content_correlation" not in values  # flat images are files of one size


def test_parts_of_other_images_are_refused(tmp_path):
    write_ragged(tmp_path, "codes", np.array([[1, 2], [3, -1]]))
    write_ragged(tmp_path, "places", np.array([[0, 1], [1, -1]]))
    np.save(tmp_path / "labels.npy", np.zeros(1, np.int64))
    assert open_ragged_codes([tmp_path]).lengths().tolist() == [2]
    write_ragged(tmp_path, "places", np.array([[0, -1], [0, 1]]))
    with pytest.raises(ValueError, match="not of the same images; make them again"):
        open_ragged_codes([tmp_path])


# ---- what depends on what -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "shared"),
    [
        ("tokenizer", {"feature_shards", "official", "side_inputs", "teacher", "token_shards", "training"}),
        ("generator", {"official", "ragged_codes", "token_shards", "training"}),
        ("sae", {"feature_shards", "files", "numbers", "progress", "training"}),  # it also measures
    ],
)
def test_a_training_does_not_depend_on_what_other_stages_share(stage, shared):
    """What is in its fingerprint is made again when somebody edits it: weeks, at the scale of the papers."""
    modules = set(fingerprint.closure((f"tesserae.stages.{stage}",)))
    place = "tesserae.stages.shared."
    assert {name.removeprefix(place) for name in modules if name.startswith(place)} == shared
    assert "tesserae.training.loop" in modules and "tesserae.contracts" not in modules


def test_what_a_tokenizer_can_do_is_asked_in_one_place():
    asking = set()
    for file in (ROOT / "src/tesserae/stages").rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        if any(isinstance(called, ast.Name) and called.id in ("hasattr", "getattr") for called in calls):
            asking.add(file.name)
    assert asking == {"generators.py", "tokenizers.py"}
