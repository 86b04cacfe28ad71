"""The numbers of a recipe, as tables of hyper-parameters print them."""

import json

from tesserae.lineage import fingerprint
from tesserae.stages import settings
from tests.stages.works import work

GENERATOR = {
    "dropout": 0.1,
    "training.epochs": 300,
    "training.betas": [0.9, 0.95],
    "sampling.guidance": [1.5, 2.0],
    "sampling.unguided_fraction": 0.18,
    "sampling.first_token_guided": True,
    "targets": ["hog", "clip"],
}


def test_numbers_of_lists_have_names_and_what_is_no_number_is_left_out():
    found = settings.settings(GENERATOR)
    told = {"dropout": 0.1, "training.epochs": 300.0, "training.betas.0": 0.9, "training.betas.1": 0.95}
    assert told.items() <= found.items() and all(isinstance(value, float) for value in found.values())
    assert not [name for name in found if "first_token" in name or "targets" in name]


def test_no_guidance_is_the_smallest_scale_of_a_search():
    found = settings.settings(GENERATOR)
    searched = {name: value for name, value in found.items() if name.startswith("guidance")}
    assert searched == {
        "guidance.smallest": 1.0,
        "guidance.largest": 2.0,
        "guidance.step": 0.5,
        "guidance.unguided_percent": 18.0,
    }
    uneven = settings.settings(GENERATOR | {"sampling.guidance": [1.25, 2.0]})
    assert "guidance.step" not in uneven and uneven["guidance.largest"] == 2.0


def test_tokens_of_an_image():
    latent = settings.settings({"image_size": 256, "patch_size": 16, "latent_tokens": 32})
    assert (latent["patch_tokens"], latent["tokens"]) == (256, 32)
    convolutional = settings.settings({"image_size": 256, "network.multipliers": [1, 1, 2, 2, 4]})
    assert convolutional["tokens"] == 256 and "patch_tokens" not in convolutional


def test_levels_of_a_code_and_a_guidance_that_is_not_searched():
    found = settings.settings({"levels": [8, 5, 5], "sampling.guidance": 7.5})
    levels = {"levels.0": 8, "levels.1": 5, "levels.2": 5}
    assert found == {**levels, "vocabulary": 200, "code_values": 3, "sampling.guidance": 7.5}
    assert settings.settings({"codebook_size": 64})["vocabulary"] == 64


def test_what_is_written_can_stand_in_a_table(tmp_path):
    values = settings.run(work("settings", tmp_path, GENERATOR))
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["values"] == values and written["selection"] is None and written["measure"]["kind"] == "settings"
    assert written["measure_id"] == fingerprint.digest(written["measure"])
