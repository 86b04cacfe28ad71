"""Published weights in place of a training: files as the official codes write them, by the stage, to their outputs.

Names, shapes and outputs were recorded from the official codes, with weights that follow from the names.
"""

import importlib
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tesserae.config.systems import detok as detok_settings
from tesserae.config.systems import hita as hita_settings
from tesserae.config.systems import kl_vae as kl_vae_settings
from tesserae.config.systems import maetok as maetok_settings
from tesserae.config.systems import maskgit_vqgan as maskgit_vqgan_settings
from tesserae.config.systems import sftok as sftok_settings
from tesserae.config.systems import titok as titok_settings
from tesserae.config.systems import va_vae as va_vae_settings
from tesserae.generators import (
    causal_ar_sampler,
    dit,
    dit_sampler,
    lightningdit,
    lightningdit_sampler,
    mar_sampler,
    sit,
    sit_sampler,
)
from tesserae.generators.diffloss_sampler import Streams
from tesserae.generators.mar import pick
from tesserae.nn.official import load_strictly, read_official
from tesserae.stages import generator as generator_stage
from tesserae.stages import tokenizer as tokenizer_stage
from tesserae.training import weights
from tesserae.workflow.plan import open_plan
from tests import golden
from tests.conftest import ROOT
from tests.small import DETOK, MASKGIT_VQGAN, SFTOK, TITOK
from tests.stages.works import work
from tests.tokenizers import test_hita as hita
from tests.tokenizers.batches import coloured_images, some_images
from tests.tokenizers.test_kl_vae import TINY as KL_VAE
from tests.tokenizers.test_maetok import TINY as MAETOK
from tests.tokenizers.test_maskgit_vqgan import OFFICIAL as MASKGIT_VQGAN_SIZE
from tests.tokenizers.test_maskgit_vqgan import official_state as maskgit_vqgan_state
from tests.tokenizers.test_sftok import official_state as sftok_state
from tests.tokenizers.test_titok import official_state as titok_state
from tests.tokenizers.test_va_vae import TINY as VA_VAE

NAMES = golden.load("official_names")


# ---- files as the official codes write them -----------------------------------------------------------------------


def checkpoint(state: dict[str, Tensor], file: Path) -> None:
    """l-DeTok's training: averages of parameters only, beside the raw weights and all that training goes on from."""
    averaged = {name: tensor for name, tensor in state.items() if name not in NAMES["not_averaged"]}
    raw = {name: tensor + 1 for name, tensor in state.items()}
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
    beside = {"optimizer": optimizer, "loss_scaler": {"scale": 1.0}, "epoch": 7, "last_elapsed_time": 1.5}
    torch.save({"model": raw, "model_ema": averaged} | beside, file)


def mar_checkpoint(state: dict[str, Tensor], file: Path) -> None:
    """MAR's training saves its command line as well."""
    raw = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": raw, "model_ema": state, "epoch": 7, "args": Namespace(model="mar_base", lr=1e-4)}, file)


def only_model(state: dict[str, Tensor], file: Path) -> None:
    """kl16.ckpt."""
    torch.save({"model": state}, file)


def bare(state: dict[str, Tensor], file: Path) -> None:
    """TiTok's training saves the averaged weights alone."""
    torch.save(state, file)


def lightning(state: dict[str, Tensor], file: Path) -> None:
    """VA-VAE's training saves the networks that only training needs, too."""
    training = {name: torch.ones(2) for name in ("loss.logvar", "foundation_model.model.norm.bias", "linear_proj.bias")}
    torch.save({"state_dict": state | training, "global_step": 3}, file)


def hita_checkpoint(state: dict[str, Tensor], file: Path) -> None:
    """Hita's training saves its command line, its discriminator and both optimizers as well."""
    raw = {name: tensor + 1 for name, tensor in state.items()}
    beside = {"optimizer": {"state": {}}, "discriminator": {"main.0.weight": torch.ones(2)}, "optimizer_disc": {}}
    torch.save({"model": raw, "ema": state, "steps": 3, "args": Namespace(lr=1e-4)} | beside, file)


# ---- networks -----------------------------------------------------------------------------------------------------


def tabled(names: dict[str, list[int]], scale: float, model: nn.Module) -> dict[str, Tensor]:
    """Tensors under official names; fixed tables (positions), which no seed can tell, are those of `model`."""
    fixed = dict(model.named_buffers())
    return {name: fixed.get(name, tensor) for name, tensor in golden.state_by_name(names, scale).items()}


def assert_same(actual: Tensor, expected: list, tolerance: float = 1e-4) -> None:
    """Within `tolerance` of the largest magnitude, at least 1 (random weights make large values)."""
    expected = torch.tensor(expected).view_as(actual)
    assert (actual - expected).abs().max() <= tolerance * max(1, expected.abs().max())


def encodes_and_decodes_detok(model: nn.Module) -> None:
    wanted = golden.load("detok")
    images = golden.seeded_array("images", (2, 3, 32, 32), 0.5).clamp(-1, 1)
    golden.assert_golden(model.encoder(images), wanted["moments"])
    golden.assert_golden(model.decode(golden.seeded_array("latents", (2, 64, 8))), wanted["decoded"])


def encodes_and_decodes_maps(wanted: dict[str, Any]) -> Callable[[nn.Module], None]:
    def check(model: nn.Module) -> None:
        posterior = model.posterior(golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1))
        moments = torch.cat([model.to_maps(posterior.mean), model.to_maps(posterior.logvar)], dim=1)
        golden.assert_golden(moments, wanted["moments"])
        latents = golden.seeded_array("latents", (2, 4, 8, 8))
        golden.assert_golden(model.decode(model.to_tokens(latents)), wanted["decoded"])

    return check


def encodes_and_decodes_maetok(model: nn.Module) -> None:
    wanted = golden.load("maetok")["modulated"]
    tokens = model.encode(golden.seeded_array("images", (2, 3, 16, 16), 0.5))
    assert_same(tokens, wanted["tokens"], 1e-5)
    assert_same(model.decode(tokens), wanted["images"], 2e-5)


def encodes_and_decodes_titok(model: nn.Module) -> None:
    wanted = golden.load("titok")
    codes = model.encode(coloured_images())
    assert codes.tolist() == wanted["codes"]
    assert_same((model.decode(codes).flatten()[:: wanted["stride"]] + 1) / 2, wanted["pixels"], 2e-5)


def encodes_and_decodes_hita(model: nn.Module) -> None:
    wanted, frozen = golden.load("hita"), golden.seeded_array("tokens", (2, 5, 120))
    model.eval().image_tokens = lambda images: frozen
    codes = model.encode(golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1))
    assert codes.tolist() == wanted["codes"]
    golden.assert_golden(model.decode(codes), wanted["reconstruction"])


def encodes_and_decodes_sftok(model: nn.Module) -> None:
    wanted = golden.load("sftok")
    codes = model.encode(coloured_images())
    assert codes.tolist() == wanted["codes"]
    assert_same((model.decode(codes).flatten()[:: wanted["stride"]] + 1) / 2, wanted["pixels"], 2e-4)


def encodes_and_decodes_maskgit_vqgan(model: nn.Module) -> None:
    wanted = golden.load("maskgit_vqgan")
    assert model.encode(some_images(2)).tolist() == wanted["codes"]
    decoded = (model.decode(torch.arange(32).view(2, 16)).flatten() + 1) / 2
    assert_same(decoded[torch.linspace(0, len(decoded) - 1, 32).long()], wanted["decoded"]["values"], 2e-5)


def conditions_and_samples_of_mar(model: nn.Module) -> None:
    wanted = golden.load("mar")
    shape = wanted["batch"], model.token_length
    tokens, labels = golden.seeded_array("tokens", (*shape, model.token_width)), torch.tensor([0, 3, 4])
    order = golden.seeded_array("order", shape).argsort(1)
    masked, known = order[:, : wanted["masked"]], order[:, wanted["masked"] :]
    z = model.decode(model.encode(pick(tokens, known), known, model.class_emb(labels)), known, masked)
    assert_same(z[:, :, :4], wanted["decoder"])
    settings = dict(wanted["samples"][0])
    expected = settings.pop("tokens")
    noise = golden.seeded_array("noise", (*shape, wanted["sampling_steps"], model.token_width))
    assert_same(mar_sampler.generate(model, labels, Streams(order, noise), **settings), expected)


def conditions_and_samples_of_causal(order: str) -> Callable[[nn.Module], None]:
    def check(model: nn.Module) -> None:
        wanted = golden.load("causal_ar")
        shape = wanted["batch"], model.token_length
        tokens, labels = golden.seeded_array("tokens", (*shape, model.token_width)), torch.tensor([0, 3, 4])
        raster = torch.arange(shape[1]).expand(shape)
        places = golden.seeded_array("order", shape).argsort(1) if order == "random" else raster
        z = model.conditions(pick(tokens, places), places, model.class_emb(labels))
        assert_same(z[:, :, :4], wanted[f"{order}_z"])
        settings = dict(next(sample for sample in wanted["samples"] if sample["order"] == order))
        expected, _ = settings.pop("tokens"), settings.pop("order")
        noise = golden.seeded_array("noise", (*shape, wanted["sampling_steps"], model.token_width))
        assert_same(causal_ar_sampler.generate(model, labels, Streams(places, noise), **settings), expected)

    return check


def output_and_samples_of_dit(model: nn.Module) -> None:
    wanted = golden.load("dit")["grid"]
    x, labels = golden.seeded_array("dit/x", (2, *model.token_shape)), torch.tensor(wanted["labels"])
    assert_same(model(x, torch.tensor(wanted["t"]), model.y_embedder(labels)), wanted["forward"])
    settings = {"seeds": wanted["seeds"], "steps": wanted["steps"], "guidance": wanted["guidance"]}
    assert_same(dit_sampler.sample(model, labels, **settings), wanted["sample_guided"])


def output_and_samples_of_lightningdit(model: nn.Module) -> None:
    wanted = golden.load("lightningdit")["grid"]
    x, labels = golden.seeded_array("lightningdit/x", (2, *model.token_shape)), torch.tensor(wanted["labels"])
    assert_same(model.velocity(x, torch.tensor(wanted["t"]), labels), wanted["forward"])
    settings = {name: wanted[name] for name in ("seeds", "steps", "shift", "guidance_start", "guidance")}
    assert_same(lightningdit_sampler.sample(model, labels, **settings), wanted["sample_guided"])


def output_and_samples_of_sit(model: nn.Module) -> None:
    wanted = golden.load("sit_sequence")
    x, labels = golden.seeded_array("sit/x", (2, *model.token_shape)), torch.tensor(wanted["labels"])
    assert_same(model.velocity(x, torch.tensor(wanted["t"]), labels), wanted["forward"])
    settings = {"seeds": wanted["seeds"], "steps": wanted["steps"], "guidance": wanted["guidance"]}
    assert_same(sit_sampler.sample(model, labels, method="euler", **settings), wanted["sample_guided"])


def output_of_sit_on_a_grid(model: nn.Module) -> None:
    wanted = golden.load("sit")
    x, labels = golden.seeded_array("sit/x", (2, *model.token_shape)), torch.tensor(wanted["labels"])
    assert_same(model.velocity(x, torch.tensor(wanted["t"]), labels), wanted["forward"])


@dataclass(frozen=True)
class Case:
    """One kind of published file."""

    module: str
    model: dict[str, Any]
    importer: str
    file: str
    state: dict[str, Tensor]  # what it holds
    write: Callable[[dict[str, Tensor], Path], None]
    outputs_agree: Callable[[nn.Module], None]


def cases() -> dict[str, Case]:
    detok, kl_vae, va_vae, maetok = (golden.load(name) for name in ("detok", "kl_vae", "va_vae", "maetok"))
    mar, causal = golden.load("mar"), golden.load("causal_ar")
    sequence, grid = golden.load("sit_sequence"), golden.load("sit")
    conv = {"channels": 128, "latent_channels": 4, "latent_patch": 1}
    sizes = {"encoder": {"width": 64, "blocks": 2, "heads": 2}, "decoder": {"width": 96, "blocks": 3, "heads": 3}}

    def tokenizer(name: str, settings, model: dict, *rest) -> Case:
        return Case(f"tesserae.tokenizers.{name}", model, settings.OFFICIAL, *rest)

    def generator(name: str, model: dict, state: dict[str, Tensor], agree, write=checkpoint) -> Case:
        return Case(f"tesserae.generators.{name}", model, "tesserae.nn.official", f"{name}.pth", state, write, agree)

    def on_grid(name: str, build: Callable[[dict], nn.Module], agree) -> Case:
        wanted = golden.load(name)["grid"]
        state = tabled(wanted["tensors"], wanted["fill_scale"], build(wanted["model"]))
        return generator(name, wanted["model"], state, agree)

    ldm, diffusers = kl_vae["ldm"], kl_vae["diffusers"]
    mar_state = golden.state_by_name(NAMES["mar"], mar["weight_scale"])
    causal_state = golden.state_by_name(causal["shapes"], causal["weight_scale"])
    grid_model = grid["model"] | {"layout": "grid"}
    return {
        "DeTok": tokenizer(
            "detok",
            detok_settings,
            DETOK | sizes,
            "detok.pth",
            golden.state_by_name(detok["keys"], 0.05),
            checkpoint,
            encodes_and_decodes_detok,
        ),
        "MAR-VAE": tokenizer(
            "kl_vae",
            kl_vae_settings,
            KL_VAE | conv,
            "kl16.ckpt",
            golden.state_by_name(ldm["keys"], kl_vae["scale"]),
            only_model,
            encodes_and_decodes_maps(ldm),
        ),
        "SD-VAE": tokenizer(
            "kl_vae",
            kl_vae_settings,
            KL_VAE | conv | {"encoder_attention": False},
            "diffusion_pytorch_model.safetensors",
            golden.state_by_name(diffusers["keys"], kl_vae["scale"]),
            save_file,
            encodes_and_decodes_maps(diffusers),
        ),
        "VA-VAE": tokenizer(
            "va_vae",
            va_vae_settings,
            VA_VAE | conv,
            "vavae.pt",
            golden.state_by_name(va_vae["keys"], va_vae["scale"]),
            lightning,
            encodes_and_decodes_maps(va_vae),
        ),
        "MAETok": tokenizer(
            "maetok",
            maetok_settings,
            MAETOK | maetok["model"],
            "model.safetensors",
            golden.state_by_name(maetok["modulated"]["keys"], maetok["fill_scale"]),
            save_file,
            encodes_and_decodes_maetok,
        ),
        "MaskGIT-VQGAN": tokenizer(
            "maskgit_vqgan",
            maskgit_vqgan_settings,
            MASKGIT_VQGAN | MASKGIT_VQGAN_SIZE,
            "maskgit-vqgan-imagenet-f16-256.bin",
            maskgit_vqgan_state(),
            bare,
            encodes_and_decodes_maskgit_vqgan,
        ),
        "SFTok": tokenizer(
            "sftok",
            sftok_settings,
            SFTOK | golden.load("sftok")["model"],
            "model.safetensors",
            sftok_state(),
            save_file,
            encodes_and_decodes_sftok,
        ),
        "TiTok": tokenizer(
            "titok",
            titok_settings,
            TITOK | golden.load("titok")["model"],
            "tokenizer_titok_b64.bin",
            titok_state(),
            bare,
            encodes_and_decodes_titok,
        ),
        "Hita": tokenizer(
            "hita",
            hita_settings,
            hita.TINY | hita.OFFICIAL,
            "hita-tok.pt",
            hita.official_state(),
            hita_checkpoint,
            encodes_and_decodes_hita,
        ),
        "MAR of l-DeTok": generator("mar", mar["spec"], mar_state, conditions_and_samples_of_mar),
        "MAR of MAR": generator("mar", mar["spec"], mar_state, conditions_and_samples_of_mar, mar_checkpoint),
        "RandomAR": generator("randomar", causal["spec"], causal_state, conditions_and_samples_of_causal("random")),
        "RasterAR": generator("rasterar", causal["spec"], causal_state, conditions_and_samples_of_causal("raster")),
        "DiT": on_grid("dit", dit.build, output_and_samples_of_dit),
        "LightningDiT": on_grid("lightningdit", lightningdit.build, output_and_samples_of_lightningdit),
        "SiT": generator(
            "sit",
            sequence["model"],
            golden.state_by_name(sequence["tensors"], sequence["fill_scale"]),
            output_and_samples_of_sit,
        ),
        "SiT on a grid": generator(
            "sit",
            grid_model,
            tabled(NAMES["sit"], grid["fill_scale"], sit.build(grid_model)),
            output_of_sit_on_a_grid,
        ),
    }


CASES = cases()


# ---- the stage ----------------------------------------------------------------------------------------------------


def taken(case: Case, folder: Path, state: dict[str, Tensor] | None = None) -> Any:
    """What the stage `tokenizer` or `generator` says of the file it took; the file holds `state`."""
    case.write(case.state if state is None else state, folder / case.file)
    spec = {"module": case.module, "model": case.model, "official": {"file": case.file, "importer": case.importer}}
    stage = tokenizer_stage if "tokenizers" in case.module else generator_stage
    return stage.run(replace(work("official", folder, spec), weights=folder / case.file))


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_outputs_are_the_official_ones(name, tmp_path):
    case = CASES[name]
    before = torch.random.get_rng_state()
    said = taken(case, tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["curves.jsonl", "weights.safetensors"]
    assert (tmp_path / "out/curves.jsonl").read_text() == ""  # nothing was trained
    assert said["tensors"] == len(read_official(tmp_path / case.file))
    assert said["dropped"] == {"VA-VAE": 3, "Hita": 2}.get(name, 0)
    case.outputs_agree(weights.load(tmp_path / "out/weights.safetensors"))
    if name == "LightningDiT":  # averages hold no fixed tables
        assert said["tensors"] == len(case.state) - len(NAMES["not_averaged"]) == len(case.state) - 2


@pytest.mark.parametrize("name", CASES)
def test_all_that_does_not_fit_is_named_and_nothing_is_written(name, tmp_path):
    case = CASES[name]
    lost, cut, *_ = (key for key in case.state if ".attn." in key or ".conv1." in key)
    state = {key: tensor for key, tensor in case.state.items() if key != lost} | {"encoder.of_another": torch.ones(2)}
    state[cut] = state[cut][:-1].clone()
    with pytest.raises(ValueError) as error:
        taken(case, tmp_path, state)
    said = str(error.value)
    assert said.startswith(f"{tmp_path / case.file}: these weights do not fit the model")
    assert "unexpected: encoder.of_another" in said and f"shape of {cut}: {tuple(state[cut].shape)} in the file" in said
    assert "missing: " in said and said.count("\n") == 3
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {}, "extra": Path("weights")}, "holds a pathlib"),
        (b"<html>sign in to download</html>", "download it again"),
        (b"", "download it again"),
    ],
)
def test_files_that_cannot_be_read_say_what_to_do(content, words, tmp_path):
    def write(state: dict[str, Tensor], file: Path) -> None:
        file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)

    case = CASES["MAR-VAE"]
    for file in ("kl16.ckpt", "model.safetensors"):
        if isinstance(content, bytes) or file == "kl16.ckpt":
            with pytest.raises(ValueError, match=words) as error:
                taken(replace(case, write=write, file=file), tmp_path)
            assert str(tmp_path / file) in str(error.value) and not list((tmp_path / "out").iterdir())


def test_a_training_without_averages(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "model_ema": None, "epoch": 3}, tmp_path / "weights.pth")
    assert read_official(tmp_path / "weights.pth").keys() == {"a"}


@pytest.mark.parametrize("beside", [{"ema": 0.9999}, {"ema": torch.ones(1)}, {"state_dict": None}])
def test_what_stands_beside_the_weights_is_not_taken_for_them(beside, tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, **beside}, tmp_path / "weights.pth")
    assert read_official(tmp_path / "weights.pth").keys() == {"a"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": "vit_base"}, "no tensors by their names"),
        ([torch.ones(2)], "no tensors by their names, but a list"),
        (torch.ones(2), "no tensors by their names, but a Tensor"),
        ({0: torch.ones(2)}, "under 0, which is no name"),
        ({}, "no tensors"),
    ],
)
def test_files_without_named_tensors_say_what_they_hold(content, words, tmp_path):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=words) as error:
        read_official(tmp_path / "weights.pth")
    assert "save its state dict alone" in str(error.value)


def test_weights_that_are_no_numbers_and_names_of_a_wrapper_are_refused():
    model = torch.nn.Linear(2, 2)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"names begin with 'module\.', of a wrapper"):
        load_strictly(model, {f"module.{name}": tensor for name, tensor in state.items()})
    with pytest.raises(ValueError, match="no tensor: bias, but a float"):
        load_strictly(model, state | {"bias": 0.5})
    state["weight"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite: weight"):
        load_strictly(model, state)


# ---- what the scales take ------------------------------------------------------------------------------------------

PARAMETERS = {
    "tokenizer/sdxl_vae": 83653863,
    "tokenizer/semanticist_l": 551104144 + 66456019,  # and its first stage
    "generator/epsilon_llamagen_semanticist_l": 488566800,
    "tokenizer/titok_bl64": 390_016_148,
    "tokenizer/titok_bl128": 390_179_988,
    "tokenizer/tatitok_bl32": 390_800_532,
    "tokenizer/tatitok_bl64": 390_882_452,
    "tokenizer/tatitok_bl128": 391_046_292,
    "tokenizer/llamagen_tok": 71_883_403,
    "tokenizer/maskgit_vqgan": 54_515_587,
    "tokenizer/titok_b64": 204_814_095,
    "tokenizer/sftok_b64": 205_845_315,
    "generator/maskgit_titok_b64": 177_227_008,
    "tokenizer/hita": 104_240_839,
    "tokenizer/titok_l32": 641_054_735,
    "tokenizer/titok_s128": 83_674_639,
    "tokenizer/comit_b": 173_647_896,
    "tokenizer/comit_l": 610_586_648,
    "tokenizer/comit_xl": 900_080_664,
    "generator/llamagen_b_c2i": 110_888_448,  # counted from the official classes
    "tokenizer/detok_bb_extended": 171_712_628,
    "tokenizer/detok_bb_extended_tuned": 171_712_628,
    "tokenizer/sd_vae": 83_653_863,
    "tokenizer/mar_vae": 66_456_019,
    "tokenizer/va_vae": 69_836_067,
    "tokenizer/maetok": 173_052_704,
    "generator/mar_b_system": 207_924_768,
    "generator/mar_l_system": 478_326_304,
    "generator/mar_b_system_mar_vae": 207_924_768,
    "generator/mar_l_system_mar_vae": 478_326_304,
    "generator/mar_h_system_mar_vae": 942_403_104,
}


def test_the_released_scale_trains_nothing(monkeypatch):
    """And needs no file but the weights: the networks are of the published sizes and are built without any."""
    monkeypatch.delenv("TESSERAE_WEIGHTS", raising=False)
    plan = open_plan(ROOT, "released")
    found = {}
    for job in plan.jobs.values():
        # Probes read what tokens hold, networks of domains what is left of an image.
        assert "training" not in job.spec or job.stage in ("probe", "probe_control", "task_network")
        if job.weights and job.stage != "task_network":
            with torch.device("meta"):
                network = importlib.import_module(job.spec["module"]).build(job.spec["model"])
            names = weights.used(network, dict(network.named_parameters()))
            found[job.id] = sum(parameter.numel() for parameter in names.values())
    assert found == PARAMETERS
    assert {job.id for job in plan.jobs.values() if job.stage in ("tokenizer", "generator")} == set(PARAMETERS)
    table = plan.jobs["table/detok_table_3"].spec
    assert table["missing"] == []  # all of its own rows
    rates = [cell for cell in plan.jobs["table/detok_table_2"].spec["missing"] if cell["column"] == "rFID"]
    assert rates == []


def test_published_tokenizers_and_cited_generators_are_not_trained_at_the_paper_scale():
    plan, released = open_plan(ROOT, "paper"), open_plan(ROOT, "released")
    taken = {job.id: job.weights for job in plan.jobs.values() if job.weights}
    assert taken == {
        name: job.weights
        for name, job in released.jobs.items()
        if job.weights and not job.weights.startswith(("l-detok/", "comit-"))
    }
    constants = {
        name: plan.jobs[f"tokens/{name}-1of8"].spec.get("standardisation")
        for name in ("sd_vae", "mar_vae", "va_vae", "maetok")
    }
    assert constants["sd_vae"] == {"mean": 0.0, "std": pytest.approx(1 / 0.18215)}
    assert constants["mar_vae"] == {"mean": 0.0, "std": pytest.approx(1 / 0.2325)}
    assert [len(constants["va_vae"][key]) for key in ("mean", "std")] == [32, 32]
    assert constants["maetok"] is None


def test_the_page_on_weights_names_every_file():
    page = (ROOT / "docs/weights.md").read_text()
    for scale in ("paper", "released"):
        for job in open_plan(ROOT, scale).jobs.values():
            assert job.weights is None or (f"`{job.weights}`" in page and f"`{job.recipe}`" in page)
