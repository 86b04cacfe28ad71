"""Costs of probes: FLOP against a real network's, and what jobs of the paper's scale need."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tesserae.costs import probing
from tesserae.costs.calibration import Rates
from tesserae.costs.gpus import GPU
from tesserae.costs.stages import Task, need
from tesserae.probes.transformer import TransformerProbe
from tests.small import SMALLER

COUNTED = Rates(GPU(1.0, 1.0, 1.0, 1.0, 1.0, "one FLOP/s"), 0.0, 1.0, 0.0)
ASKED = {"threads": 1, "nodes": 1, "gpus": 1, "processes": 1, "minutes": 60}
MODEL = {"width": 16, "blocks": 2, "heads": 2, "dropout": 0.0}
TRAINING = {"batch": 8, "epochs": 3, "patience": 3, "lr": 1e-3, "weight_decay": 0.0, "precision": "fp32", "seed": 0}


@pytest.mark.parametrize("read", [probing.Read(5, 3), probing.Read(5, 3, phrases=7, candidates=4)])
def test_flop_of_a_probe_are_those_of_the_network(read):
    phrases = torch.randn(2, read.candidates, 3, read.phrases) if read.phrases else None
    outputs = 1 if read.phrases else 10
    probe = TransformerProbe(
        tokens=read.tokens, token_width=read.width, outputs=outputs, phrase_width=read.phrases or None, **MODEL
    )
    # The CPU's own attention kernel is not counted; plain products of matrices are.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        probe(torch.randn(2, read.tokens, read.width), None, phrases)
    assert counter.get_total_flops() == 2 * probing.forward(MODEL, read, outputs)


def test_a_probe_and_its_control_cost_their_epochs_over_the_images_that_they_see():
    scenes = Task("scenes/it", {"expected_images": 1000, "validation_fraction": 0.2, "image_size": 16}, (), ASKED)
    targets = Task("targets/it", {"task": "relations", "negatives": 3}, (scenes,), ASKED)
    spec = {
        "model": MODEL,
        "training": TRAINING,
        "encoder": "t5",
        "control": {"kind": "centres", "grid": 2, "centres": 9},
    }
    control = need(Task("probe_control/it", spec, (scenes, targets), ASKED), COUNTED)
    each = probing.forward(MODEL, probing.Read(4, 3 * 8**2, phrases=768, candidates=4), 1)
    assert control.seconds == pytest.approx(3 * (3 * 800 + 200) * each, rel=1e-3)
    by_chance = Task("probe_control/it", spec | {"control": {"kind": "chance"}}, (scenes, targets), ASKED)
    assert need(by_chance, COUNTED).seconds < 100
    more = spec | {"training": TRAINING | {"epochs": 6}}
    twice = need(Task("probe_control/it", more, (scenes, targets), ASKED), COUNTED)
    assert twice.seconds == pytest.approx(2 * control.seconds, rel=1e-3) and twice.memory == control.memory


def test_tokens_of_a_probe_are_kept_for_the_images_of_its_own_set():
    data = {"train_images": 60, "val_images": 40, "image_size": 16}
    dataset = Task("dataset/other", {"train_images": 7, "val_images": 7, "image_size": 16}, (), ASKED)
    own = Task("dataset/it", data, (), ASKED)
    with_detok = {"module": "tesserae.tokenizers.detok", "model": SMALLER}
    tokenizer = Task("tokenizer/it", with_detok, (dataset,), ASKED)
    found = need(Task("probe_tokens/it", {"batch": 4}, (own, tokenizer), ASKED), COUNTED)
    assert found.disk == pytest.approx(100 * 16 * (2 * 4 + 1) + 2e6)
    targets = Task("targets/it", {"task": "classes"}, (own,), ASKED)
    tokens = Task("probe_tokens/it", {"batch": 4}, (own, tokenizer), ASKED)
    probe = need(Task("probe/it", {"model": MODEL, "training": TRAINING}, (tokens, targets), ASKED), COUNTED)
    each = probing.forward(MODEL, probing.Read(16, 4), 1)
    assert probe.seconds == pytest.approx(3 * (3 * 60 + 40) * each, rel=1e-3)
    shown = {"shown": 2, "neighbours": 4}
    assert need(Task("neighbours/it", shown, (own, tokens, targets), ASKED), COUNTED).disk > 2 * 5 * 3 * 16**2
