"""Costs of ConceptTok's chain: networks by hand, disk by real stages."""

import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tesserae.costs import networks
from tesserae.costs.assumed import DEAD, STARTED
from tesserae.costs.calibration import Rates
from tesserae.costs.gpus import GPU
from tesserae.costs.stages import Task, need
from tesserae.nn.llama_blocks import hidden_width
from tests.costs.stages import run

B = 3
COUNTED = Rates(GPU(1.0, 1.0, 1.0, 1.0, 1.0, "one FLOP/s"), 0.0, 1.0, 0.0)
ASKED = {"threads": 1, "nodes": 1, "gpus": 1, "processes": 1, "minutes": 60}

# A tokenizer: image side, patch side; patches, latents, prompt tokens of a width; width, codebook, concepts.
S, PATCH, P, N, T, W, D, V, WIDE, C = 16, 8, 4, 2, 3, 5, 8, 16, 4, 10
CONCEPTTOK = {
    "image_size": S,
    "patch_size": PATCH,
    "latent_tokens": N,
    "codebook_size": V,
    "code_width": WIDE,
    "encoder": {"width": D, "blocks": 1, "heads": 2},
    "decoder": {"width": D, "blocks": 1, "heads": 2},
    "text": "encoder",
    "text_width": W,
    "text_tokens": T,
    "concepts": C,
    "clustering": True,
    "commitment": 0.25,
    "perceptual": "none",
    "loss_weights": {"mse": 1.0, "perceptual": 1.1, "quantizer": 1.0, "gan": 0.1, "lecam": 0.001, "concept": 0.1},
    "gan_start_step": None,
    "discriminator": None,
}
LLAMAGEN = {
    "token_length": 6,
    "vocabulary": 20,
    "classes": 3,
    "width": D,
    "blocks": 2,
    "heads": 2,
    "positions": "learned",
    "dropout": 0.1,
    "label_dropout": 0.1,
}
SAE = {
    "width": 112,
    "dictionary": 40,
    "top_k": 8,
    "tied_init": True,
    "ghost_gradients": True,
    "dead_window": 64,
    "normalise": "none",
    "chunk": 64,
}
MASKGIT = {
    "token_length": 6,
    "vocabulary": 32,
    "classes": 3,
    "width": 16,
    "blocks": 2,
    "heads": 2,
    "ragged": False,
    "slots": 6,
    "places": 0,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "label_dropout": 0.1,
    "label_smoothing": 0.1,
    "unmasked_weight": 0.1,
}
CONCEPTTOK_MODULE, LLAMAGEN_MODULE, SAE_MODULE = (
    f"tesserae.{name}" for name in ("tokenizers.concepttok", "generators.llamagen", "sae.topk")
)


# ---- counts -----------------------------------------------------------------------------------------------------


def forward(text: str) -> dict[str, float]:
    """FLOP of one image: what gets gradients, what gets those of its weights alone or none, attention's."""
    pixels = 2 * P * 3 * PATCH**2 * D  # of patches: embedded, and drawn
    prompt = 2 * T * W * D
    enc, dec = (1 + P + N + T * (text == part) for part in ("encoder", "decoder"))
    block = 2 * 12 * D**2  # for each token: queries, keys, values, their joint output; two layers of 4 D
    return {
        "encode": enc * block + 2 * N * D * WIDE,
        "encode_input": pixels + prompt * (text == "encoder"),
        "encode_attention": 4 * enc**2 * D,
        "nearest": 2 * N * WIDE * V,
        "decode": 2 * N * WIDE * D + dec * block + pixels + 2 * S**2 * 3 * 3 * 9,
        "decode_input": prompt * (text == "decoder"),
        "decode_attention": 4 * dec**2 * D,
        "head": 2 * D * C,
    }


def test_a_step_of_concepttok():
    """Backward: two products for each, one where inputs have no gradient, five of attention's two, no distances."""
    told, found = networks.training(CONCEPTTOK_MODULE, CONCEPTTOK, B, "fp32"), forward("encoder")
    once = found["encode_input"] + found["decode_input"]
    attention = found["encode_attention"] + found["decode_attention"]
    thrice = found["encode"] + found["decode"] + found["head"]
    assert told["flops"]["fp32"] == 3 * thrice + 2 * once + 3.5 * attention + found["nearest"]
    assert told["adversarial"] == {"bf16": 0, "fp32": 0}


def test_the_discriminator_of_concepttok():
    model = CONCEPTTOK | {"gan_start_step": 5, "discriminator": {"channels": 4, "layers": 1}}
    counted = networks.training(CONCEPTTOK_MODULE, model, B, "bf16")
    assert counted["flops"] == networks.training(CONCEPTTOK_MODULE, CONCEPTTOK, B, "bf16")["flops"]
    first, blur = 2 * S**2 * 3 * 4 * 25, 2 * (S // 2) ** 2 * 4 * 16
    rest = 2 * S**2 * 4 * 4 * 9 + 2 * (S // 8) ** 2 * (4 * 4 + 4 * 25)
    fooled = 2 * (first + blur + rest)  # its own weights get no gradients then
    judged = 2 * first + 2 * blur + 3 * rest  # of real images and of reconstructions: pixels get none
    assert counted["adversarial"] == {"bf16": 0, "fp32": fooled + 2 * judged}


@pytest.mark.parametrize("text", ["none", "encoder", "decoder"])
def test_coding_with_and_without_prompts(text):
    told, found = networks.coding(CONCEPTTOK_MODULE, CONCEPTTOK | {"text": text}, B), forward(text)
    for part, more in (("encode", found["nearest"]), ("decode", 0)):
        expected = found[part] + found[f"{part}_input"] + found[f"{part}_attention"] + more
        assert told[part] == {"bf16": 0, "fp32": expected}


def test_a_step_and_a_sample_of_llamagen():
    length, width = LLAMAGEN["token_length"], LLAMAGEN["width"]
    products = LLAMAGEN["blocks"] * 2 * length * width * (4 * width + 3 * hidden_width(width))
    products += 2 * length * width * LLAMAGEN["vocabulary"]
    attention = LLAMAGEN["blocks"] * 4 * length**2 * width
    trained = networks.training(LLAMAGEN_MODULE, LLAMAGEN, B, "fp32")
    assert trained["flops"]["fp32"] == 3 * products + 3.5 * attention
    drawn = networks.sampling(LLAMAGEN_MODULE, LLAMAGEN, {"module": "tesserae.generators.llamagen_sampler"}, B)
    assert drawn["flops"]["fp32"] == products + attention
    kept = 4 * 2 * LLAMAGEN["blocks"] * 2 * B * length * width  # keys and values of both halves
    assert kept < drawn["peak"] < 10 * kept


def test_a_sample_of_llamagen_counts_what_pytorch_counts_of_a_real_one():
    """Keys that are kept are fewer than a whole sequence's, which the count takes for all."""
    from tesserae.generators import llamagen, llamagen_sampler

    network, labels = llamagen.build(LLAMAGEN).eval(), torch.zeros(B, dtype=torch.int64)
    rest = {"unguided_fraction": 0.18, "first_token_guided": True, "top_k": 0, "top_p": 1.0}
    counted = networks.sampling(LLAMAGEN_MODULE, LLAMAGEN, {"module": "tesserae.generators.llamagen_sampler"}, B)
    for guidance, halves in ((1.0, 1), (2.0, 2)):
        with FlopCounterMode(display=False) as counter:
            llamagen_sampler.sample(network, labels, seeds=[1, 2, 3], guidance=guidance, **rest)
        assert halves * B * counted["flops"]["fp32"] == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_a_step_and_a_sample_of_maskgit():
    """Of the class and all codes; sequences of many lengths count as if all were the longest."""
    module, length, width = "tesserae.generators.maskgit", MASKGIT["token_length"], MASKGIT["width"]
    products = MASKGIT["blocks"] * 2 * (length + 1) * 12 * width**2
    head, attention = 2 * length * width * MASKGIT["vocabulary"], MASKGIT["blocks"] * 4 * (length + 1) ** 2 * width
    trained = networks.training(module, MASKGIT, B, "fp32")
    assert trained["flops"]["fp32"] == pytest.approx(3 * (products + head) + 3.5 * attention, rel=1e-3)
    varied = MASKGIT | {"ragged": True, "places": 4}
    assert networks.training(module, varied, B, "fp32") == trained
    sampler = {"module": "tesserae.generators.maskgit_sampler", "steps": 8}
    drawn = networks.sampling(module, MASKGIT, sampler, B)
    assert drawn["flops"]["fp32"] == 8 * (products + head + attention)
    assert networks.sampling(module, varied, sampler, B) == drawn


@pytest.mark.parametrize(("guidance", "first", "later"), [(1.0, B, B), (4.0, B + 1, 2 * B)])
def test_a_sample_of_maskgit_costs_less_than_what_is_counted(guidance, first, later):
    """Only masked codes are predicted, guided or not, and after its attention the last block knows no others, but in
    the first step; there all samples without class are one. No attention here."""
    from tesserae.generators import maskgit, maskgit_sampler

    module, settings = "tesserae.generators.maskgit", {"guidance_power": 3.0, "softmax_annealing": False, "steps": 8}
    network, labels = maskgit.build(MASKGIT).eval(), torch.arange(B)
    settings |= {"guidance": guidance, "guidance_schedule": "constant", "choice_temperature": 4.0}
    with FlopCounterMode(display=False) as counter:
        maskgit_sampler.sample(network, labels, seeds=[1, 2, 3], **settings)
    length, width, masked = MASKGIT["token_length"], MASKGIT["width"], [6, 5, 4, 3, 2, 1, 1, 1]
    whole = MASKGIT["blocks"] * 2 * (length + 1) * 12 * width**2
    spared = sum((length + 1 - each) * 2 * 9 * width**2 for each in masked[1:])  # of 12 products, 3 are of attention
    heads = B * sum(masked) * 2 * width * MASKGIT["vocabulary"]
    assert counter.get_total_flops() == first * whole + later * (7 * whole - spared) + heads
    counted = networks.sampling(module, MASKGIT, {"module": f"{module}_sampler", "steps": 8}, B)["flops"]["fp32"]
    assert 1 < (2 if guidance > 1 else 1) * B * counted / counter.get_total_flops() < 1.6  # a whole block is half of it


@pytest.mark.parametrize(("ghosts", "chunk", "products"), [(False, 64, 0), (True, 64, 10), (True, 8, 14)])
def test_a_step_of_the_autoencoder_counts_its_dense_products(ghosts, chunk, products):
    """Of all latents one product forward and none backward; of dead ones two forward, three backward (they are made of
    fixed inputs), and in several chunks two more, made again. Besides, once in a step, what the bias does.
    """
    tokens, whole = 16, 2 * SAE["width"] * SAE["dictionary"]
    counted = networks.training(SAE_MODULE, SAE | {"ghost_gradients": ghosts, "chunk": chunk}, tokens, "fp32")
    dead = round(DEAD * SAE["dictionary"])
    expected = whole * (1 + 2 / tokens) + products * SAE["width"] * dead
    assert counted["flops"]["fp32"] == pytest.approx(expected)


def test_finding_concepts():
    counted = networks.concepts(SAE_MODULE, SAE, 5, B)
    assert counted["flops"]["fp32"] == 2 * 5 * SAE["width"] * SAE["dictionary"]


def test_siglip():
    counted = networks.semantic("siglip", "block_out", 256, 2)
    tokens, width = 256, 768
    blocks = 12 * (2 * 12 * tokens * width**2 + 4 * tokens**2 * width)
    assert counted["flops"] == {"bf16": 0, "fp32": blocks + 2 * tokens * width * 3 * 16**2}
    assert (counted["patches"], counted["width"]) == (tokens, width)
    pooled = networks.semantic("siglip", "pooled", 256, 2)
    assert pooled["patches"] == 1 and pooled["flops"]["fp32"] > counted["flops"]["fp32"]


@pytest.mark.parametrize("name", ["embedded", "lite2"])
def test_encoders_are_those_that_the_stages_run(name):
    from tesserae.encoders import semantic
    from tesserae.encoders.embedded import EmbeddedNetwork

    with torch.device("meta"):
        ours, theirs = networks._siglip(), semantic.make_siglip()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        EmbeddedNetwork(64, name=name).stages(torch.zeros(2, 3, 64, 64), semantic.EMBEDDED_STAGE + 1)
    counted = networks.semantic(name, "block_out", 64, 2)
    assert 2 * counted["flops"]["fp32"] == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert (counted["patches"], counted["width"]) == (16, semantic.CHANNELS[name])


def test_what_cannot_be_counted_says_so():
    with pytest.raises(ValueError, match=r"some\.model: its cost cannot be counted on tensors without data \(Data"):
        with networks._counting("some.model"):
            torch.ones(2).sum().item()
    with pytest.raises(ValueError, match=r"tesserae\.sae\.topk: its cost cannot be counted .*lower top_k"):
        networks.training(SAE_MODULE, SAE | {"top_k": 41}, 2, "fp32")
    with pytest.raises(ValueError, match=r"dinov2: its cost cannot be counted; add it to SEMANTIC"):
        networks.semantic("dinov2", "block_out", 224, 1)


# ---- stages -----------------------------------------------------------------------------------------------------


def task(stage: str, spec: dict, *producers: Task) -> Task:
    return Task(f"{stage}/x", spec, producers, ASKED)


READ = {"encoder": "embedded", "feature": "block_out", "side": 64, "batch": 4}
FLICKR = {"image_size": 32, "counts": {"train rows": 1000}}
DATA = {"image_size": 32, "train_images": 7, "val_images": 4, "classes": 2}


def test_a_set_of_rows_without_classes():
    data = task("dataset", FLICKR)
    assert need(data, COUNTED).disk == 1000 * (32 * 32 * 3 + 8)
    part = task("semantic_features", READ | {"split": "train", "shard": 1, "shards": 16}, data)
    assert need(part, COUNTED).disk == 2 * 63 * 16 * 112
    measured = task("dataset", FLICKR | {"train_images": 990, "val_images": 0})  # what was found in it
    assert need(measured, COUNTED).disk == 990 * (32 * 32 * 3 + 8)


def test_work_of_the_stages():
    """In FLOP; the autoencoder's by patches, whose number its encoder says."""
    data, wide = task("dataset", FLICKR), task("dataset", DATA)
    features = task("semantic_features", READ | {"split": "train", "shard": 1, "shards": 1}, data)
    training = {"steps": 10, "batch": 4, "microbatches": 2, "precision": "fp32"}
    sae = task("sae", {"module": SAE_MODULE, "model": SAE, "training": training}, features)

    def work(one: Task) -> float:
        return need(one, COUNTED).seconds - STARTED

    image = networks.semantic("embedded", "block_out", 64, 4)["flops"]["fp32"]
    found = 2 * 16 * SAE["width"] * SAE["dictionary"]
    dead = 10 * SAE["width"] * round(DEAD * SAE["dictionary"])
    assert work(features) == pytest.approx(1000 * image)
    bias = 2 * 2 * SAE["width"] * SAE["dictionary"]
    assert work(sae) == pytest.approx(10 * (4 * (found + 16 * dead) + 2 * bias))
    concepts = task("concepts", READ | {"concepts": 8}, wide, sae)
    assert work(concepts) == pytest.approx((2 * 7 + 4) * (image + found))
    tokenizer = task("tokenizer", {"module": CONCEPTTOK_MODULE, "model": CONCEPTTOK}, wide)
    encode = networks.coding(CONCEPTTOK_MODULE, CONCEPTTOK, 4)["encode"]["fp32"]
    told = READ | {"shown": 1, "images": 3}
    for stage, prompts, expected in (
        ("concept_f1", True, 3 * 4 * encode),
        ("concept_f1", False, 4 * encode),
        ("concept_examples", True, 4 * (image + found + encode)),
        ("latent_clusters", True, 4 * (image + found) + 3 * encode),
    ):
        some = [task("prompts", {}, wide)] if prompts else []
        assert work(task(stage, told, wide, tokenizer, sae, *some)) == pytest.approx(expected)


def test_disk_is_what_the_stages_write(tmp_path):
    from tesserae.stages import codes, concepts, semantic_features
    from tesserae.training import weights

    data, rng = tmp_path / "data", np.random.default_rng(0)
    data.mkdir()
    for split in ("train", "val"):
        count = DATA[f"{split}_images"]
        np.save(data / f"{split}_images.npy", rng.integers(0, 256, (count, 32, 32, 3), np.uint8))
        np.save(data / f"{split}_labels.npy", np.arange(count) % 2)
    splits = {split: {"count": DATA[f"{split}_images"]} for split in ("train", "val")}
    index = {"provider": "x", "settings": {}, "size": 32, "class_names": ["a", "b"], "splits": splits}
    (data / "index.json").write_text(json.dumps(index))
    folders, models = {}, {"sae": (SAE_MODULE, SAE), "tokenizer": (CONCEPTTOK_MODULE, CONCEPTTOK | {"image_size": 32})}
    for name, (module, model) in models.items():
        network = __import__(module, fromlist=["build"]).build(model)
        folders[name] = tmp_path / name
        folders[name].mkdir()
        weights.save(folders[name] / "weights.safetensors", weights.used(network, network.state_dict()), module, model)
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    np.save(prompts / "features.npy", np.zeros((3, T, W), np.float16))

    one = {"shard": 1, "shards": 1}
    spec = {
        "semantic_features": READ | {"split": "train"} | one,
        "concepts": READ | {"concepts": 2},
        "codes": {"batch": 4} | one,
    }
    inputs = {
        "semantic_features": {"dataset": data},
        "concepts": {"dataset": data, "sae": folders["sae"]},
        "codes": {"dataset": data, "tokenizer": folders["tokenizer"], "prompts": prompts},
    }
    source = task("dataset", DATA)
    made_from = [task(name, {"module": module, "model": model}, source) for name, (module, model) in models.items()]
    for stage, module in (("semantic_features", semantic_features), ("concepts", concepts), ("codes", codes)):
        out = run(tmp_path, module, spec[stage], inputs[stage])
        written = sum(file.stat().st_size - 128 for file in out.glob("*.npy"))
        assert need(task(stage, spec[stage], source, *made_from), COUNTED).disk == written, stage
