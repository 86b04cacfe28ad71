"""The stages of concepts, on pictures of four coloured patches whose concepts are their colours."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.config.figures import module_of
from tesserae.data.ragged import open_ragged
from tesserae.metrics.concepts import class_prior, f1
from tesserae.reporting import style
from tesserae.sae import topk
from tesserae.stages import concept_examples, concept_f1, concepts, figure, latent_clusters
from tesserae.stages.shared import concept_scores
from tesserae.stages.shared.side_inputs import shuffled
from tesserae.tokenizers import concepttok
from tesserae.training import weights
from tests.stages.works import work

COLOURS = torch.tensor([[c, b, a] for a in (20, 230) for b in (20, 230) for c in (20, 230)]).float()
NAMES = ("black", "red", "green", "yellow", "blue", "pink", "cyan", "white")
CLASSES = ("night sky, dark", "fire", "leaf")  # of class i, colour i is in half of the patches
COUNT = 48  # images of a split
SAE = {"width": 8, "dictionary": 8, "top_k": 2, "tied_init": False, "ghost_gradients": False}
SAE |= {"dead_window": 9, "normalise": "none", "chunk": 100}
CONCEPTTOK = {
    "image_size": 16,
    "patch_size": 8,
    "latent_tokens": 3,
    "codebook_size": 4,
    "code_width": 4,
    "encoder": {"width": 16, "blocks": 1, "heads": 2},
    "decoder": {"width": 16, "blocks": 1, "heads": 2},
    "clustering": False,
    "commitment": 0.25,
    "perceptual": "none",
    "loss_weights": {"mse": 1.0, "perceptual": 0.0, "quantizer": 1.0, "gan": 0.0, "lecam": 0.0, "concept": 0.1},
    "gan_start_step": None,
    "discriminator": None,
}
FIGURE = {"shown": 3, "images": 4, "frequency": [0.01, 0.6], "dense": 0.9, "batch": 7, "seed": 0, "concepts": 2}
FIGURE |= {"encoder": "colours", "feature": "patch", "side": 16}
EXAMPLES = FIGURE | {"ranked": 200}
CLUSTERS = FIGURE | {"images": 100, "components": 50, "neighbours": 5, "perplexity": 30.0, "iterations": 250}


def patches(network: str, images: Tensor, feature: str, side: int) -> Tensor:
    """(B, 3, 16, 16) -> which colour each of the four patches has (B, 4, 8)."""
    assert (network, feature, side) == ("colours", "patch", 16)
    centres = (images[:, :, 4::8, 4::8].flatten(2).transpose(1, 2) + 1) * 127.5
    return F.one_hot(torch.cdist(centres, COLOURS.expand(len(images), -1, -1)).argmin(-1), 8).float()


class Seer(nn.Module):
    """Sees all colours; of equally common ones, the first."""

    def __init__(self):
        super().__init__()
        self.concept_head = nn.Linear(1, 1)

    def latents(self, images, text=None):
        assert text is None
        return patches("colours", images, "patch", 16)

    def concept_logits(self, images, text=None):
        return self.latents(images, text).mean(dim=1) - 1e-3 * torch.arange(8)


class Parrot(nn.Module):
    """Names what its prompt says, and never looks."""

    text = "encoder"

    def __init__(self):
        super().__init__()
        self.concept_head = nn.Linear(1, 1)

    def latents(self, images, text=None):
        return text

    def concept_logits(self, images, text=None):
        return text[:, 0]


def build(spec: dict) -> nn.Module:
    return {"seer": Seer, "parrot": Parrot}[spec["name"]]()


def pictures(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two patches of the class's colour, two different ones of others (3 to 7), in any order: (N, 16, 16, 3)."""
    others = np.stack([3 + rng.permutation(5)[:2] for _ in labels])
    colours = rng.permuted(np.concatenate([labels[:, None].repeat(2, 1), others], axis=1), axis=1)
    images = COLOURS.numpy().astype(np.uint8)[colours].reshape(len(labels), 2, 2, 3)
    return images.repeat(8, 1).repeat(8, 2)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A data set, an autoencoder whose concepts are the colours, the concepts of all images, prompts."""
    for module in (concept_scores, concepts):
        monkeypatch.setattr(module, "patch_features", patches)
    data, rng = tmp_path / "colours-16", np.random.default_rng(0)
    data.mkdir()
    captions = {}
    for split in ("train", "val"):
        labels = rng.permutation(np.arange(COUNT) % 3)
        images = pictures(labels, rng)
        np.save(data / f"{split}_images.npy", images)
        np.save(data / f"{split}_labels.npy", labels)
        shown = COLOURS.numpy().astype(np.uint8)
        captions[split] = [
            "a picture of " + " and ".join(NAMES[i] for i in range(8) if (image == shown[i]).all(axis=2).any())
            for image in images
        ]
    (data / "captions.json").write_text(json.dumps(captions))
    index = {"provider": "colours", "settings": {}, "size": 16, "class_names": CLASSES}
    (data / "index.json").write_text(json.dumps(index | {"splits": {split: {"count": COUNT} for split in captions}}))
    sae = topk.build(SAE)
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(8))
    save(tmp_path / "sae", sae, "tesserae.sae.topk", SAE)
    found = work("concepts", tmp_path, FIGURE, inputs={"dataset": data, "sae": tmp_path / "sae"})
    concepts.run(found)
    (tmp_path / "out").rename(tmp_path / "colours_sae-colours")
    (tmp_path / "prompts").mkdir()
    order = class_prior(np.load(tmp_path / "colours_sae-colours" / "class_counts.npy"), 8)
    features = np.zeros((4, 1, 8), np.float16)
    np.put_along_axis(features[:3, 0], order, np.arange(8, 0, -1, np.float16)[None].repeat(3, 0), axis=1)
    features[3, 0, [4, 5]] = 1  # "a thing" is blue and pink
    np.save(tmp_path / "prompts" / "features.npy", features)
    return {
        "dataset": data,
        "sae": tmp_path / "sae",
        "concepts": tmp_path / "colours_sae-colours",
        "prompts": tmp_path / "prompts",
    }


def save(folder, model: nn.Module, module: str, spec: dict) -> None:
    folder.mkdir(exist_ok=True)
    weights.save(folder / "weights.safetensors", weights.used(model, model.state_dict()), module, spec)


def job(stage, folders, tmp_path, spec, tokenizer: str, **settings):
    """A job of a tokenizer: "seer", "parrot", or "concepttok" with settings; `settings` may leave the prompts out."""
    told, module = {"name": tokenizer}, __name__
    inputs = {name: folder for name, folder in folders.items() if name != "prompts" or tokenizer != "seer"}
    if tokenizer == "concepttok":
        told, module = CONCEPTTOK | settings, "tesserae.tokenizers.concepttok"
    torch.manual_seed(0)
    model = build(told) if module == __name__ else concepttok.build(told)
    save(tmp_path / "tokenizer", model, module, told)
    return work(stage, tmp_path, spec, inputs=inputs | {"tokenizer": tmp_path / "tokenizer"})


def metrics(job) -> dict:
    return json.loads((job.out / "metrics.json").read_text())


READS = {"text": "encoder", "text_width": 8, "text_tokens": 1, "concepts": 8}
SEES = {"text": "none", "text_width": None, "text_tokens": None, "concepts": None}

# ---- F1 --------------------------------------------------------------------------------------------------------


def test_who_sees_all_concepts_has_an_f1_of_one(folders, tmp_path):
    told = job("concept_f1", folders, tmp_path, FIGURE, "seer")
    values = concept_f1.run(told)
    assert list(values) == ["f1", "prior", "class_prior"]
    assert values["f1"] == 1.0
    truth = open_ragged(folders["concepts"], "val")
    counts = np.load(folders["concepts"] / "counts.npy")
    common = np.argsort(-counts, kind="stable")[:2]
    by_hand = [len({*common.tolist()} & {*truth.values[2 * i : 2 * i + 2].tolist()}) / 2 for i in range(COUNT)]
    assert values["prior"] == pytest.approx(np.mean(by_hand))
    assert 0.5 <= values["class_prior"] < 1  # the class's colour is one of the two
    assert metrics(told)["values"] == values
    assert metrics(told)["measure"] == {
        "kind": "concepts",
        "concept_set": "colours_sae-colours",
        "reference": "colours-16 val",
        "weights": "averaged",
        "prompt": "none",
        "samples": COUNT,
        "concepts": 2,
    }


def test_who_reads_the_class_alone_has_the_class_prior_and_loses_it_with_the_prompt(folders, tmp_path):
    told = job("concept_f1", folders, tmp_path, FIGURE, "parrot")
    values = concept_f1.run(told)
    truth, labels = open_ragged(folders["concepts"], "val"), np.load(folders["dataset"] / "val_labels.npy")
    of_class = class_prior(np.load(folders["concepts"] / "class_counts.npy"), 2)
    others = shuffled(torch.from_numpy(labels), FIGURE["seed"]).numpy()
    assert values["f1"] == pytest.approx(values["class_prior"]) == pytest.approx(f1(of_class[labels], truth).mean())
    assert values["f1_shuffled"] == pytest.approx(f1(of_class[others], truth).mean())
    assert values["f1_shuffled"] < values["f1"]
    assert values["same_class"] == pytest.approx((labels == others).mean())
    assert values["f1_constant"] == pytest.approx(f1(np.tile([4, 5], (COUNT, 1)), truth).mean())
    assert metrics(told)["measure"]["prompt"] == "given"


@pytest.mark.parametrize(("settings", "names"), [(READS, 6), (SEES | {"concepts": 8}, 3), (SEES, 2)])
def test_any_tokenizer_will_do(folders, tmp_path, settings, names):
    values = concept_f1.run(job("concept_f1", folders, tmp_path, FIGURE, "concepttok", **settings))
    assert len(values) == names and "class_prior" in values
    assert all(0 <= value <= 1 for value in values.values())


def test_a_tokenizer_that_reads_prompts_must_be_given_them(folders, tmp_path):
    without = {name: folder for name, folder in folders.items() if name != "prompts"}
    for stage, spec in ((concept_f1, FIGURE), (concept_examples, EXAMPLES), (latent_clusters, CLUSTERS)):
        with pytest.raises(ValueError, match="reads prompts"):
            stage.run(job("it", without, tmp_path, spec, "concepttok", **READS))


# ---- examples --------------------------------------------------------------------------------------------------


def colours_of(images: np.ndarray) -> np.ndarray:
    """(..., 16, 16, 3) -> the colour of each patch (..., 2, 2)."""
    centres = images[..., 4::8, 4::8, :].astype(float)
    return np.abs(centres[..., None, :] - COLOURS.numpy()).sum(-1).argmin(-1)


def test_examples_show_where_concepts_fire_and_what_is_found(folders, tmp_path):
    # Those of the classes alone: of the other colours only one of an image's two is in its set of two.
    spec = EXAMPLES | {"frequency": [0.33, 0.34]}
    told = job("concept_examples", folders, tmp_path, spec, "seer")
    values = concept_examples.run(told)
    found = np.load(told.out / "examples.npz")
    assert sorted(found["concepts"].tolist()) == [0, 1, 2]  # each class's colour is its purest concept
    assert [name.split(", ")[0] for name in found["names"]] == [NAMES[i] for i in found["concepts"]]
    assert found["frequency"] == pytest.approx([1 / 3] * 3) and found["firing"] == pytest.approx([1 / 3] * 3)
    assert found["images"].shape == found["found"].shape == (3, 4, 16, 16, 3)
    assert found["fires"].shape == (3, 4, 2, 2)
    assert (found["fires"] == (colours_of(found["images"]) == found["concepts"][:, None, None, None])).all()
    assert (found["fires"].sum(axis=(2, 3)) == 2).all() and found["strength"] == pytest.approx(np.full((3, 4), 0.5))
    assert found["has"].all() and not found["prompted"]
    assert values == {"map": pytest.approx(1), "precision": 1, "chance": pytest.approx(1 / 3), "ranked": 3}
    assert metrics(told)["values"] == values and metrics(told)["measure"]["first"] == 4


def test_a_tokenizer_that_never_looks_is_told_apart(folders, tmp_path):
    told = job("concept_examples", folders, tmp_path, EXAMPLES, "parrot")
    values = concept_examples.run(told)
    found = np.load(told.out / "examples.npz")
    assert found["prompted"] and values["chance"] < values["map"] < 0.9
    logits = np.load(folders["prompts"] / "features.npy")[:3, 0, found["concepts"]].max(axis=0)
    assert found["logits"] == pytest.approx(logits[:, None].repeat(4, 1))


def test_a_tokenizer_without_a_head_finds_nothing_but_shows_concepts(folders, tmp_path):
    told = job("concept_examples", folders, tmp_path, EXAMPLES, "concepttok", **SEES)
    assert concept_examples.run(told) == {}
    found = np.load(told.out / "examples.npz")
    assert not {"found", "has", "logits"} & set(found.files) and found["images"].shape == (3, 4, 16, 16, 3)


def test_without_captions_concepts_are_called_by_classes(folders, tmp_path):
    (folders["dataset"] / "captions.json").write_text('{"train": null, "val": null}')
    told = job("concept_examples", folders, tmp_path, EXAMPLES, "concepttok", **SEES)
    concept_examples.run(told)
    found = np.load(told.out / "examples.npz")
    shorts = ("night sky", "fire", "leaf")
    assert found["names"].tolist() == [shorts[i] for i in found["concepts"]]


def test_dense_dead_and_rare_concepts_are_not_shown(folders, tmp_path):
    counts = np.load(folders["concepts"] / "class_counts.npy")
    counts[:, 3:], counts[0, 0] = 0, 1
    counts[2, 7] = 20  # as if white were the purest concept of the third class
    np.save(folders["concepts"] / "class_counts.npy", counts)
    images = np.load(folders["dataset"] / "val_images.npy")
    images[(images == COLOURS[7].numpy()).all(axis=3)] = 100  # nearly black: no patch is white
    np.save(folders["dataset"] / "val_images.npy", images)

    def shown(**changes) -> list[int]:
        told = job("concept_examples", folders, tmp_path, EXAMPLES | changes, "concepttok", **SEES)
        concept_examples.run(told)
        return np.load(told.out / "examples.npz")["concepts"].tolist()

    assert shown() == [1, 0, 2]  # 7 is dead
    assert shown(frequency=[0.1, 0.6]) == [1, 2]
    with pytest.raises(ValueError, match="widen `frequency` or `dense`"):
        shown(dense=0.3)


# ---- clusters --------------------------------------------------------------------------------------------------


def test_latents_that_are_the_concepts_are_clusters(folders, tmp_path):
    told = job("latent_clusters", folders, tmp_path, CLUSTERS, "seer")
    values = latent_clusters.run(told)
    found = np.load(told.out / "clusters.npz")
    labels = np.load(folders["dataset"] / "val_labels.npy")
    assert found["points"].shape == (COUNT, 2) and np.isfinite(found["points"]).all()
    assert (found["concepts"][found["labels"]] == labels).all() and (found["classes"] == labels).all()
    assert values["knn_purity"] > 0.95 and values["silhouette"] > 0.4 and values["chance"] == pytest.approx(15 / 47)
    assert (values["same_class"], values["points"], values["neighbours"]) == (1.0, COUNT, 5)
    assert metrics(told)["values"] == values and metrics(told)["measure"]["prompt"] == "none"


def test_a_prompt_alone_makes_clusters_of_classes(folders, tmp_path):
    told = job("latent_clusters", folders, tmp_path, CLUSTERS, "parrot")
    assert latent_clusters.run(told)["knn_purity"] == 1.0
    assert np.load(told.out / "clusters.npz")["prompted"]


def test_a_random_tokenizer_has_clusters_of_some_kind(folders, tmp_path):
    told = job("latent_clusters", folders, tmp_path, CLUSTERS, "concepttok", **SEES)
    values = latent_clusters.run(told)
    assert -1 <= values["silhouette"] < 0.5 and 0 < values["knn_purity"] <= 1


def test_an_image_belongs_to_its_strongest_concept():
    strength = np.array([[0.9, 0.8], [0.1, 0.7], [0.5, 0.6], [0.4, 0.0], [0.95, 0.2], [0.0, 0.0]])
    having = np.array([[True, True], [True, True], [True, True], [True, False], [False, True], [False, False]])
    images, labels = latent_clusters.assign(strength, having, 100)
    assert (images.tolist(), labels.tolist()) == ([0, 1, 2, 3, 4], [0, 1, 1, 0, 1])
    images, labels = latent_clusters.assign(strength, having, 2)  # of the first 0 and 2, of the second 0 and 1
    assert (images.tolist(), labels.tolist()) == ([0, 1, 2], [0, 1, 0])


# ---- helpers ---------------------------------------------------------------------------------------------------


def test_activations_are_of_the_concepts_asked_for_in_their_order(folders, tmp_path):
    told = job("it", folders, tmp_path, FIGURE, "seer")
    images = np.load(folders["dataset"] / "val_images.npy")[:5]
    found = concept_scores.activations(told, concept_scores.open_sae(told), images, np.array([6, 1, 3]))
    expected = colours_of(images).reshape(5, 4)[..., None] == np.array([6, 1, 3])
    assert found.shape == (5, 4, 3) and (found.numpy() == expected).all()


def test_patches_that_are_no_square_raise():
    assert concept_scores.grid(256) == 16
    with pytest.raises(ValueError, match="255 patches"):
        concept_scores.grid(255)


def test_figures_are_drawn_from_what_the_stages_leave(folders, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(style, "save", lambda made, stem, formats=(): drawn.append(made))
    found = {}
    for stage, role, spec in ((concept_examples, "examples", EXAMPLES), (latent_clusters, "clusters", CLUSTERS)):
        told = job("it", folders, tmp_path, spec, "seer")
        stage.run(told)
        found[role] = tmp_path / role
        told.out.rename(found[role])
    shared = {"rows": [["a", "Seer"], ["b", "Other"]], "seeds": [1], "scale": "tests"}
    for draw, role in (("concepts", "examples"), ("concept_images", "examples"), ("clusters", "clusters")):
        spec = shared | {"module": module_of(draw), "draw": draw, "inputs": {"tokenizers": {role: f"{role}/{{row}}"}}}
        spec["missing"] = [{"row": "b", "column": f"tokenizers: {role}", "reason": "too dear"}]
        figure.run(work("figure", tmp_path, spec, inputs={f"{role}/a": found[role]}))
    patches_shown, images_shown, panels = drawn
    assert len(patches_shown.axes[0].get_yticks()) == 9 and len(images_shown.axes[0].get_yticks()) == 3
    assert panels.axes[0].get_title(loc="left").startswith("Seer\nsilhouette ")
    assert all(
        "Not run: Other (too dear)" in " ".join(made.get_supxlabel().split()) for made in (patches_shown, panels)
    )
