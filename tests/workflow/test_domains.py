"""The graph's domains: which jobs there are, what they are told and read, and what of a configuration is refused."""

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.costs.calibration import Rates
from tesserae.costs.gpus import GPU
from tesserae.costs.stages import Task, need
from tesserae.workflow.graph.shown import recipe_of
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.conftest import ROOT

DETOK, SCALE, DOMAINS = "papers/detok.yaml", "scales/smoke.yaml", "domains.yaml"
COUNTED = Rates(GPU(1.0, 1.0, 1.0, 1.0, 1.0, "one FLOP/s"), 0.0, 1.0, 0.0)
ASKED = {"threads": 1, "nodes": 1, "gpus": 1, "processes": 1, "minutes": 60}
VALUES = {"remote_sensing": "miou", "medical": "dice", "text": "exact_match"}


def show(project, *artifacts: str) -> None:
    """A table of ours with a number of each artifact; nothing of it is left out."""

    def shown(content):
        columns = {
            f"{name} score": {
                "artifact": name,
                "value": VALUES[name.partition("/")[2].partition("-")[2].removesuffix("-real")]
                if name.startswith("task_score")
                else "rfid",
                "direction": "higher",
            }
            for name in artifacts
        }
        content["tables"]["scored"] = {
            **{"source": "Own domains", "title": "Domains", "own": True},
            **{"rows": {"one": "One"}, "columns": columns},
        }

    edit(project, DETOK, shown)
    edit(project, SCALE, lambda scale: [group.update(artifacts=[]) for group in scale["omit"] if "artifacts" in group])


def planned(project, scale: str = "smoke"):
    return jobs(read_project(project, scale, ["detok"]))


def test_a_score_brings_its_domain_its_network_and_controls(project):
    show(project, "task_score/detok_sb_joint-medical", "task_control/medical-real")
    found = planned(project)
    score = found["task_score/detok_sb_joint-medical"]
    assert score.inputs == {
        "domain": "domain/emoji_few_shapes-32",
        "reference": "reference/emoji_few_shapes-32",
        "tokenizer": "tokenizer/detok_sb_joint",
        "task_network": "task_network/medical",
    }
    reference = found[score.inputs["reference"]]
    assert reference.inputs == {"dataset": "domain/emoji_few_shapes-32"}
    assert reference.spec["reference_samples"] == 40  # as many originals as are scored
    network = found["task_network/medical"]
    assert network.spec["module"] == "tesserae.task_networks.small_unet" and network.weights is None
    assert network.origins["training.steps"].startswith("config/scales/smoke.yaml: domains.networks.medical")
    control = found["task_control/medical-emoji_few-32-64x8"]
    assert control.spec["control"] == {"kind": "components", "grid": 8, "components": 8}
    coder = found[control.inputs["patch_coder"]]
    assert coder.id == "patch_coder/emoji_few-32-64x8" and coder.spec == {"control": control.spec["control"]}
    assert coder.inputs == {"dataset": "dataset/emoji_few-32"}  # what the tokenizer learned from
    table = found["table/detok_scored"].spec
    assert table["controls"] == {score.id: control.id}
    assert table["control_rows"] == ["control_real", "control_mean", "control_chance"]
    assert "task_score/detok_sb_joint-text" not in found and "domain/drawn_few_words-32" not in found
    assert recipe_of(read_project(project, "smoke", ["detok"]), score.id) == "detok_sb_joint"


def test_at_the_papers_scale_networks_are_published_or_begin_so():
    found = jobs(read_project(ROOT, "paper"))
    networks = {name: found[f"task_network/{name}"] for name in VALUES}
    assert {name: job.weights for name, job in networks.items()} == {
        "remote_sensing": "resnet34/model.safetensors",
        "medical": "resnet34/model.safetensors",
        "text": "parseq/parseq-bb5792a6.pt",
    }
    assert all(job.spec["official"]["file"] == job.weights for job in networks.values())
    assert networks["text"].spec["training"] is None and networks["medical"].spec["training"]["epochs"] == 50
    assert networks["text"].inputs == {"domain": "domain/textocr_words-256"}
    tatok = found["task_score/tatok_b56-text"]  # reads images of 336 pixels
    assert tatok.spec["side"] == 336 and found[tatok.inputs["domain"]].spec["image_size"] == 256
    gain = found["information_gain/comptok-text"]
    assert gain.inputs["dataset"] == "domain/textocr_words-256"
    assert gain.inputs["calibration"] == "calibration/comptok"  # of the images that the tokenizer learned from
    path = found["mode_connectivity/comptok-text"]
    assert path.inputs["pairs"] == "pairs/textocr_words-256" and "mc_same" in path.without


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (SCALE, lambda c: c["domains"]["data"].update(text="emoji_few_land"), "no set of images for a task of words"),
        (SCALE, lambda c: c["domains"]["data"].update(sound="emoji_few_land"), "no such domain"),
        (SCALE, lambda c: c["domains"]["data"].pop("medical"), "no set of images plays the domain medical at scale"),
        (
            SCALE,
            lambda c: c["domains"]["networks"].update(medical=c["domains"]["networks"]["text"]),
            "small_reader does not answer a task of region: unet and small_unet do",
        ),
        (SCALE, lambda c: c["domains"]["networks"]["text"]["training"].update(flips=True), "a mirrored word is none"),
        (SCALE, lambda c: c["domains"]["networks"]["text"]["training"].update(epochs=3), "how many epochs or how many"),
        (DOMAINS, lambda c: c["domains"]["text"].update(task="pixels"), "parseq does not answer a task of pixels"),
        (DOMAINS, lambda c: c["domains"].update({"a-b": c["domains"]["text"]}), "write none in it"),
        (DOMAINS, lambda c: c["sets"].update(emoji=c["sets"]["emoji_land"]), "also a data set"),
        (DOMAINS, lambda c: c["sets"]["drawn_words"].update(lengths=[5, 3]), "no range of lengths"),
        (DOMAINS, lambda c: c["sets"]["chestx_det"].update(train_images=9), "9 are fewer than val_images, 553"),
    ],
)
def test_what_makes_no_domain_is_refused(project, file, change, said):
    show(project, "task_score/detok_sb_joint-medical")
    edit(project, file, change)
    with pytest.raises(ConfigError, match=said):
        planned(project)


def test_costs_are_those_of_what_is_run():
    domain = Task("domain/it", {"train_images": 60, "val_images": 40, "image_size": 16}, (), ASKED)
    training = {"epochs": None, "steps": 10, "batch": 8, "precision": "fp32"}
    spec = {"module": "tesserae.task_networks.small_unet", "model": {"widths": [4, 4, 8]}, "batch": 8}
    short, longer = (
        need(Task("task_network/it", spec | {"training": training | {"steps": steps}}, (domain,), ASKED), COUNTED)
        for steps in (10, 20)
    )
    network = Task("task_network/it", spec | {"training": training}, (domain,), ASKED)
    chance = need(Task("task_control/it", {"control": {"kind": "chance"}}, (domain, network), ASKED), COUNTED)
    coder = {"kind": "centres", "grid": 2, "centres": 9}
    dataset = Task("dataset/it", {"train_images": 60, "val_images": 40, "image_size": 16}, (), ASKED)
    fitted = need(Task("patch_coder/it", {"control": coder, "seed": 0}, (dataset,), ASKED), COUNTED)
    assert fitted.seconds == pytest.approx(2 * 60 * 4 * 9 * 192 * 31, rel=1e-3)
    assert longer.seconds - short.seconds > 10 * 8 * (short.seconds - chance.seconds) / (10 * 8 + 40) * 0.9
    assert need(domain, COUNTED).disk > 100 * 4 * 16**2
    published = Task("task_network/it", spec | {"training": None}, (domain,), ASKED)
    assert need(published, COUNTED).seconds < short.seconds / 5
