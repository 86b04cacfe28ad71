"""The graph's probes: which jobs there are, what they are told and read, and what of a configuration is refused."""

import json

import pytest

from tesserae.config import registry
from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.conftest import ROOT

DETOK, TATOK, SCALE, PROBES = "papers/detok.yaml", "papers/tatok.yaml", "scales/smoke.yaml", "probes.yaml"


def show(project, *artifacts: str, paper: str = DETOK) -> None:
    """A table of ours with a number of each artifact."""

    def shown(content):
        content["tables"]["probed"] = {
            "source": "Own probes",
            "title": "Probes",
            "own": True,
            "rows": {"one": "One"},
            "columns": {
                f"{name} accuracy": {"artifact": name, "value": value, "direction": "higher"}
                for name in artifacts
                for value in ["agreement" if name.startswith("neighbours") else "accuracy"]
            },
        }

    edit(project, paper, shown)


def planned(project, paper: str = "detok"):
    """Of one paper alone: to plan all of them takes seconds."""
    return jobs(read_project(project, "smoke", [paper]))


def test_a_probe_brings_its_data_tokens_and_controls(project):
    show(project, "probe/detok_sb_joint-pairs", "probe/detok_sb_joint-relations", "neighbours/detok_sb_joint-classes")
    found = planned(project)
    pairs, relations = (found[f"probe/detok_sb_joint-{task}"] for task in ("pairs", "relations"))
    assert pairs.inputs == {
        "probe_tokens": "probe_tokens/detok_sb_joint-pairs",
        "targets": "targets/emoji_few_pairs-32",
    }
    assert relations.inputs["phrases"] == "phrases/minilm-emoji_few_relations-32"
    assert found["targets/emoji_few_relations-32"].spec == {"task": "relations", "negatives": 7, "hard": 4, "seed": 0}
    tokens = found["probe_tokens/detok_sb_joint-pairs"]
    assert tokens.inputs == {"scenes": "scenes/emoji_few_pairs-32", "tokenizer": "tokenizer/detok_sb_joint"}
    assert tokens.spec["policy"] is None and tokens.spec["codes"] is None
    assert found["scenes/emoji_few_pairs-32"].sources.keys() == {"corpus", "checksums"}
    # 64 tokens of 8 values, as the control of its reconstructions
    control = found["probe_control/pairs-emoji_few_pairs-32-64x8"]
    assert control.spec == pairs.spec | {"control": {"kind": "components", "grid": 8, "components": 8}}
    assert found["table/detok_probed"].spec["controls"] == {
        "probe/detok_sb_joint-pairs": "probe_control/pairs-emoji_few_pairs-32-64x8",
        "probe/detok_sb_joint-relations": "probe_control/relations-emoji_few_relations-32-64x8",
    }
    assert found["table/detok_probed"].spec["control_rows"] == ["control_chance"]
    assert found["neighbours/detok_sb_joint-classes"].spec["neighbours"] == 4
    assert "probe/detok_sb_joint-classes" not in found  # nothing shows it
    assert pairs.spec["model"] == {"width": 32, "blocks": 1, "heads": 2, "dropout": 0.1}
    assert pairs.origins["model.width"].startswith("config/scales/smoke.yaml: probes.width (the paper: 768")


def test_probes_without_a_scale_of_their_own_are_the_papers():
    found = jobs(read_project(ROOT, "paper", ["tatok"]))
    classes, relations = (found[f"probe/tatok_b56-{task}"] for task in ("classes", "relations"))
    assert classes.spec["model"] == {"width": 768, "blocks": 2, "heads": 8, "dropout": 0.1}
    assert classes.spec["training"]["batch"] == 512 and relations.spec["model"]["width"] == 64
    assert relations.spec["encoder"] == "t5" and relations.inputs["phrases"].startswith("phrases/t5-")
    assert found[classes.inputs["targets"]].inputs == {"dataset": "dataset/imagenet100-336"}
    assert found["probe_tokens/tatok_b56-relations"].spec["codes"] == "tesserae.tokenizers.tatok_codes"
    assert found[relations.inputs["targets"]].spec["negatives"] == 15


def test_encoders_that_read_prompts_get_them_and_others_do_not():
    found = planned(ROOT, "concepttok")
    assert "prompts" in found["probe_tokens/concepttok_bb64-classes"].inputs
    assert "prompts" not in found["probe_tokens/concepttok_bb64_baseline-classes"].inputs


def test_what_a_scale_leaves_out_is_said_in_its_cells():
    found = planned(ROOT, "tatok")
    missing = {entry["row"]: entry["reason"] for entry in found["table/tatok_own_g"].spec["missing"]}
    assert missing == {"tatok_random": "same road as others"}


def test_a_policy_is_told_to_tokenizers_that_have_some(project, monkeypatch):
    few = {"order": "raster", "crops": 2, "whole": False}
    edit(project, TATOK, lambda paper: paper["measures"].update(policies={"few": few}))
    show(project, "probe/tatok_b56-classes-few", paper=TATOK)
    with pytest.raises(
        ConfigError, match=r"(?s)tatok reads images in one way alone.*show tatok_b56-classes, without"
    ) as error:
        planned(project, "tatok")
    assert error.value.key == "measures.policies.few"
    monkeypatch.setattr(registry.TOKENIZERS["tatok"], "POLICIES", True, raising=False)
    found = planned(project, "tatok")
    assert found["probe_tokens/tatok_b56-classes-few"].spec["policy"] == few
    assert found["probe_tokens/tatok_b56-classes"].spec["policy"] is None
    assert found["probe/tatok_b56-classes-few"].inputs["targets"] == "targets/emoji_few_subgroups-32"
    assert (
        found["table/tatok_probed"].spec["controls"]["probe/tatok_b56-classes-few"].startswith("probe_control/classes-")
    )


def test_several_seeds_have_several_probes_and_one_control(project):
    edit(project, SCALE, lambda scale: scale.update(seeds=2))
    found = planned(project, "tatok")
    second = found["probe/tatok_b56-classes.seed2"]
    assert second.inputs["probe_tokens"] == "probe_tokens/tatok_b56-classes.seed2"
    assert found["probe_tokens/tatok_b56-classes.seed2"].inputs["tokenizer"] == "tokenizer/tatok_b56.seed2"
    assert second.spec == found["probe/tatok_b56-classes"].spec  # the same probe for all
    assert [name for name in found if name.startswith("probe_control/classes") and name.endswith(".seed2")] == []


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (
            SCALE,
            lambda c: c["probes"]["data"].update(classes="emoji_few_pairs"),
            "no set of images for a probe of classes",
        ),
        (SCALE, lambda c: c["probes"]["data"].update(pairs="emoji_few_relations"), "for a probe of pairs"),
        (SCALE, lambda c: c["probes"]["data"].update(others="emoji_few"), "no such probe"),
        (SCALE, lambda c: c["probes"]["data"].pop("classes"), "looks at no data set at scale smoke"),
        (SCALE, lambda c: c["probes"].update(heads=5), "has 5 heads, which do not divide it"),
        (PROBES, lambda c: c["probes"]["relations"].pop("negatives"), "a probe of relations has some"),
        (PROBES, lambda c: c["probes"]["relations"].update(hard=16), "16 of 15 negatives"),
        (PROBES, lambda c: c["probes"].update({"a-b": c["probes"]["classes"]}), "write none in it"),
        (PROBES, lambda c: c["scenes"].update(emoji=c["scenes"]["emoji_pairs"]), "also a data set"),
    ],
)
def test_what_makes_no_probe_is_refused(project, file, change, said):
    edit(project, file, change)
    show(project, "probe/detok_sb_joint-classes")
    with pytest.raises(ConfigError, match=said):
        planned(project)


def test_neighbours_need_classes(project):
    show(project, "neighbours/detok_sb_joint-pairs")
    with pytest.raises(ConfigError, match="neighbours by images of pairs, which have no class"):
        planned(project)


def test_a_probe_of_nothing_is_refused_with_names_that_there_are(project):
    show(project, "probe/detok_sb_joint-colours")
    with pytest.raises(ConfigError, match="there is no artifact 'probe/detok_sb_joint-colours'"):
        planned(project)


def test_schema_of_the_probes_is_written():
    written = json.loads((ROOT / "workflow/schemas/probes.json").read_text())
    assert "EmojiScenes" in written["$defs"]
