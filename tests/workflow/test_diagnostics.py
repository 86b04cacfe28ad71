"""Jobs that look at one tokenizer: what each is told, and what a paper's file may say of it."""

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.workflow.test_graph import FROM_EXTENDED

DETOK, CONCEPTTOK, SCALE = "papers/detok.yaml", "papers/concepttok.yaml", "scales/smoke.yaml"


def planned(project):
    return jobs(read_project(project, "smoke"))


def test_the_noise_to_undo_is_that_of_the_tokenizers_own_training(project):
    def shown(paper):
        paper["figures"]["figure_a1"]["rows"] |= {"detok_sb_additive": "Additive", "mar_vae": "No noise"}

    edit(project, DETOK, shown)
    found = planned(project)
    own, other = found["denoising/detok_sb_additive"], found["denoising/mar_vae"]
    assert own.spec["gamma"] == 1.0 and own.origins["gamma"].endswith("detok_sb_additive.gamma")
    assert other.spec["gamma"] == 3.0 and other.origins["gamma"].endswith(
        "detok_sb_joint.gamma"
    )  # the final one's base
    assert found["denoising/detok_bb_baseline"].spec["gamma"] == 3.0
    assert own.origins["taus"] == "config/papers/detok.yaml: measures.denoising.taus"
    edit(project, SCALE, lambda c: c["omit"][0]["recipes"].extend(FROM_EXTENDED))
    assert planned(project)["denoising/detok_bb_baseline"].spec["gamma"] == 3.0  # whoever is trained at this scale


def test_any_tokenizer_of_any_paper_can_be_looked_at(project):
    def shown(paper):
        paper["measures"]["denoising"] = {
            "gamma": {"key": "commitment", "otherwise": "concepttok_bb64"},
            "taus": [0.5],
            "ratios": [0.5],
        }
        paper["figures"]["noise"] = {
            "title": "Noise",
            "draw": "denoising",
            "rows": {"concepttok_bb64_baseline": "Baseline"},
            "inputs": {"tokenizers": {"images": "denoising/{row}"}},
        }

    edit(project, CONCEPTTOK, shown)
    found = planned(project)
    damaged, clustered = (found[f"{stage}/concepttok_bb64_baseline"] for stage in ("denoising", "latent_clusters"))
    assert (
        damaged.spec["gamma"] == 0.25
        and damaged.spec["taus"] == [0.5]
        and set(damaged.inputs)
        == {
            "dataset",
            "tokenizer",
        }
    )
    assert set(clustered.inputs) == {
        "dataset",
        "tokenizer",
        "sae",
        "concepts",
    }  # it reads no prompts, and knows no concepts


def test_concepts_are_asked_of_those_that_name_them_alone(project):
    edit(project, CONCEPTTOK, lambda c: c["figures"]["figure_3"]["rows"].update(concepttok_bb64_baseline="Baseline"))
    with pytest.raises(ConfigError, match="there is no artifact 'concept_examples/concepttok_bb64_baseline'"):
        planned(project)


@pytest.mark.parametrize(
    ("file", "change", "key", "told"),
    [
        (
            DETOK,
            lambda c: c["measures"].pop("denoising"),
            "figures.figure_a1.inputs",
            "give the stage's settings, measures.denoising",
        ),
        (DETOK, lambda c: c["measures"]["denoising"].update(taus=[]), "measures.denoising.taus", "at least 1 item"),
        (DETOK, lambda c: c["measures"]["denoising"].update(shown=3), "measures.denoising.shown", "Extra inputs"),
        (
            DETOK,
            lambda c: c["measures"]["denoising"]["gamma"].update(otherwise="nothing"),
            "measures.denoising.gamma.otherwise",
            "unknown tokenizer recipe 'nothing'",
        ),
        (
            DETOK,
            lambda c: c["measures"]["denoising"]["gamma"].update(otherwise="detok_sb_baseline"),
            "measures.denoising.gamma.otherwise",
            "detok_sb_baseline has no gamma either",
        ),
        (
            CONCEPTTOK,
            lambda c: c["measures"].pop("prompt"),
            "measures.prompt",
            "reads prompts, and the paper gives none",
        ),
        (CONCEPTTOK, lambda c: c["measures"].update(prompt="A photo."), "measures.prompt", "match pattern"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(project, file, change, key, told):
    edit(project, file, change)
    with pytest.raises(ConfigError) as caught:
        planned(project)
    assert key in str(caught.value.key) and told in str(caught.value) and caught.value.remedy


def test_two_papers_cannot_give_one_artifact_two_settings(project):
    def prompted(paper):
        """A tokenizer of the other paper that reads the same prompts of the same images, in other words."""
        theirs = read_project(project, "smoke").tokenizers["concepttok_bb64"]
        recipe = theirs.typed.model_dump() | {"sae": None}
        recipe["loss_weights"]["concept"] = 0.0
        paper["measures"]["prompt"] = "A picture of a {}."
        paper["tokenizers"]["theirs"] = recipe
        paper["figures"]["reconstructions"]["rows"]["theirs"] = "Theirs"

    edit(project, DETOK, prompted)
    with pytest.raises(ConfigError, match="asked for with two settings of template") as caught:
        planned(project)
    assert "papers/detok.yaml: measures.prompt" in str(caught.value)


def test_patches_are_taken_away_as_a_scale_can_afford(project):
    """Of the points of a curve the scale says how many; what the paper prints is always there."""
    job = planned(project)["truncation/tatok_patch_drop"]
    assert job.spec["curve_points"] == 0 and job.origins["curve_points"].endswith("smoke.yaml: evaluation.curve_points")
    assert job.spec["part"] == 211 and job.origins["part"] == "config/papers/tatok.yaml: measures.truncation.part"
    edit(project, "papers/tatok.yaml", lambda c: c["measures"]["truncation"].update(part=441))
    with pytest.raises(ConfigError, match="of 441 patches 441 cannot be taken away: one has to be left"):
        planned(project)


def test_contradictions_go_to_what_they_concern_and_to_the_page(project):
    found = planned(project)
    says = {each["says"]: number for number, each in enumerate(found["page/tatok"].spec["contradictions"], 1)}
    for artifact in ("table/tatok_table_1", "table/tatok_figure_4"):
        for text in found[artifact].spec["contradictions"]:
            number, _, rest = text.partition(". ")
            assert says[rest] == int(number)
    assert (
        "contradictions" not in found["page/detok"].spec and "contradictions" not in found["table/detok_table_1"].spec
    )


OBJECTS = {"shares": [20, 30], "share": 30, "layer": 24, "blocks": 28, "time": 0.5, "steps": 10}


def looking_for_objects(paper):
    paper["measures"] |= {"masks": "cssd", "objectness": OBJECTS}
    paper["figures"]["objects"] = {
        "title": "Objects",
        "draw": "objectness",
        "rows": {"detok_sb_joint": "Joint noise"},
        "inputs": {"tokenizers": {"objects": "objectness/{row}"}},
    }


def test_objects_are_looked_for_in_images_with_masks_at_the_tokenizers_size(project):
    edit(project, DETOK, looking_for_objects)
    found = planned(project)
    job = found["objectness/detok_sb_joint"]
    dataset = found[job.inputs["dataset"]]
    masks = found[job.inputs["masks"]]
    assert masks.id == f"masks/emoji_few-val-{dataset.spec['image_size']}" and set(masks.sources) == {
        "corpus",
        "checksums",
    }
    assert masks.spec == {**dataset.spec, "split": "val"}
    assert job.spec["layer"] == 24 and job.origins["share"] == "config/papers/detok.yaml: measures.objectness.share"
    released = jobs(read_project(project, "paper"))
    masks = released[released["objectness/detok_sb_joint"].inputs["masks"]]
    assert (masks.id, masks.data, masks.spec["counts"]["all"]) == ("masks/cssd-all-256", "cssd", 200)
    assert read_project(project, "paper").scale.resources["masks"].gpus == 0  # it decodes
    edit(project, "scales/paper.yaml", lambda c: c["datasets"].update(cssd="ecssd"))  # DECISION D2's switch
    assert "masks/ecssd-all-256" in jobs(read_project(project, "paper"))


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (SCALE, lambda c: c["datasets"].pop("cssd"), "no data set plays the role 'cssd' at scale smoke"),
        (SCALE, lambda c: c["datasets"].update(cssd="coco"), "coco has no masks of objects"),
        (DETOK, lambda c: c["measures"].pop("masks"), "there is no artifact 'objectness/detok_sb_joint'"),
        (DETOK, lambda c: c["measures"]["objectness"].update(shares=[30, 35]), "35 has no name among the numbers"),
        (DETOK, lambda c: c["measures"]["objectness"].update(share=10), "10 is none of the shares"),
        (DETOK, lambda c: c["measures"]["objectness"].update(layer=28), "of 28 blocks 28 is none"),
        (DETOK, lambda c: c["measures"]["objectness"].update(times=[0.25]), "0.25 has no name among the numbers"),
        (DETOK, lambda c: c["measures"]["objectness"].update(time=0.9, steps=5), "no step of 5 begins at 0.9 or later"),
    ],
)
def test_where_objects_cannot_be_looked_for_it_is_said(project, file, change, told):
    edit(project, DETOK, looking_for_objects)
    edit(project, file, change)
    with pytest.raises(ConfigError, match=told):
        planned(project)
