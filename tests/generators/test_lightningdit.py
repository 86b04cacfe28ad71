"""LightningDiT: published sizes, agreement with the reference implementation, training loss, sampling.

What it shares with SiT (guidance of all channels, initialisation, label dropout) is tested there.
"""

import pytest
import torch

from tesserae.diffusion import flow
from tesserae.diffusion.guidance import guided_velocity
from tesserae.generators import lightningdit, lightningdit_sampler
from tests import golden

SIZES = {"B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16), "H": (1280, 32, 16)}
TINY = {
    "token_length": 16,
    "token_width": 4,
    "layout": "grid",
    "classes": 5,
    "width": 32,
    "blocks": 2,
    "heads": 4,
    "label_dropout": 0.1,
    "qk_norm": False,
    "cosine_loss_weight": 0.0,
}


def on_meta(size: str, token_width: int) -> lightningdit.LightningDiT:
    width, blocks, heads = SIZES[size]
    large = {"token_length": 256, "token_width": token_width, "classes": 1000}
    with torch.device("meta"):
        return lightningdit.build({**TINY, **large, "width": width, "blocks": blocks, "heads": heads})


def tiny(**changes) -> lightningdit.LightningDiT:
    model = lightningdit.build({**TINY, **changes})
    golden.fill_by_name(model, 0.2)  # large enough for time, class and position to matter
    return model


def batch(count: int = 6) -> dict[str, torch.Tensor]:
    tokens = golden.seeded_array("batch", (count, TINY["token_length"], TINY["token_width"]))
    return {"tokens": tokens, "labels": torch.arange(count) % TINY["classes"]}


def terms_of(model: lightningdit.LightningDiT, seed: int = 0, **changes) -> dict[str, torch.Tensor]:
    ((group, terms),) = model.losses({**batch(), **changes}, step=0, rng=torch.Generator().manual_seed(seed))
    assert group == "generator"
    return terms


class TestPublishedSizes:
    @pytest.mark.parametrize(
        ("size", "token_width", "expected"),
        [
            ("B", 16, 130_531_600),
            ("L", 16, 458_120_176),
            ("XL", 16, 675_219_856),
            ("H", 16, 951_328_848),
            ("B", 32, 130_556_192),
        ],
    )
    def test_parameters(self, size, token_width, expected):
        model = on_meta(size, token_width)
        assert sum(p.numel() for p in model.parameters()) == expected

    def test_checkpoint_layout(self):
        tensors = {name: tuple(value.shape) for name, value in on_meta("B", 16).state_dict().items()}
        assert len(tensors) == 159
        for name, shape in {
            "pos_embed": (1, 256, 768),
            "x_embedder.proj.weight": (768, 16, 1, 1),
            "transformer.blocks.11.norm2.weight": (768,),
            "transformer.blocks.0.mlp.w12.weight": (4096, 768),
            "transformer.blocks.0.mlp.w3.weight": (768, 2048),
            "rope.freqs_cos": (256, 64),
            "rope.freqs_sin": (256, 64),
            "final_layer.norm.weight": (768,),
            "final_layer.linear.weight": (16, 768),
        }.items():
            assert tensors[name] == shape


class TestReference:
    """Numbers of the official code with weights filled by name. Its 1-D guidance, on the wrong axis, was given ours."""

    @pytest.fixture(params=["grid", "sequence"])
    def numbers(self, request):
        return golden.load("lightningdit")[request.param]

    @pytest.fixture
    def model(self, numbers):
        model = lightningdit.build(numbers["model"])
        golden.fill_by_name(model, numbers["fill_scale"])
        return model

    @pytest.fixture
    def inputs(self, numbers, model):
        return self.arrays(numbers, model)

    def arrays(self, numbers, model):
        shape = (2, *model.token_shape)
        arrays = {name: golden.seeded_array(f"lightningdit/{name}", shape) for name in ("x", "noise")}
        return {**arrays, "t": torch.tensor(numbers["t"]), "y": torch.tensor(numbers["labels"])}

    def assert_equals(self, actual, expected):
        expected = torch.tensor(expected, dtype=actual.dtype).view(actual.shape)
        torch.testing.assert_close(actual.detach(), expected, atol=4e-5, rtol=0)

    def sample(self, numbers, model, guidance):
        settings = {name: numbers[name] for name in ("seeds", "steps", "shift", "guidance_start")}
        return lightningdit_sampler.sample(model, torch.tensor(numbers["labels"]), guidance=guidance, **settings)

    def test_names(self, numbers, model):
        assert {name: list(value.shape) for name, value in model.state_dict().items()} == numbers["tensors"]

    def test_forward(self, numbers, model, inputs):
        self.assert_equals(model.velocity(inputs["x"], inputs["t"], inputs["y"]), numbers["forward"])

    def test_guidance(self, numbers, model, inputs):
        velocity = guided_velocity(model, inputs["y"], numbers["guidance"], numbers["guidance_start"])
        self.assert_equals(velocity(inputs["x"], torch.tensor(numbers["guided_t"])), numbers["guided"])
        self.assert_equals(velocity(inputs["x"], torch.tensor(numbers["early_t"])), numbers["guided_early"])

    def test_training_loss(self, numbers, model, inputs):
        model.cosine_loss_weight = 1.0
        terms = model.losses_at(inputs["x"], inputs["y"], inputs["t"], inputs["noise"])
        self.assert_equals(terms["velocity_mse"], numbers["loss"])
        self.assert_equals(terms["velocity_cosine"], numbers["cosine"])

    def test_sampling(self, numbers, model):
        self.assert_equals(self.sample(numbers, model, 1.0), numbers["sample"])
        self.assert_equals(self.sample(numbers, model, numbers["guidance"]), numbers["sample_guided"])

    def test_with_normed_queries_and_keys(self):
        numbers = golden.load("lightningdit")["grid, qk_norm"]
        model = lightningdit.build(numbers["model"])
        golden.fill_by_name(model, numbers["fill_scale"])
        self.test_names(numbers, model)
        self.test_forward(numbers, model, self.arrays(numbers, model))
        self.assert_equals(self.sample(numbers, model, numbers["guidance"]), numbers["sample_guided"])


class TestModel:
    def test_refused_settings(self):
        with pytest.raises(ValueError, match="square"):
            lightningdit.build({**TINY, "token_length": 15})
        with pytest.raises(TypeError):
            lightningdit.build({**TINY, "depth": 2})
        with pytest.raises(TypeError):
            lightningdit.build({name: value for name, value in TINY.items() if name != "qk_norm"})

    @pytest.mark.parametrize("qk_norm", [False, True])
    @pytest.mark.parametrize("layout", ["grid", "sequence"])
    def test_gradients_reach_every_parameter(self, layout, qk_norm):
        model = tiny(layout=layout, qk_norm=qk_norm, label_dropout=0.5)
        terms_of(model)["velocity_mse"].backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name

    def test_rotary_positions_are_for_grids(self):
        """Without learned positions, only RoPE can tell an order of the tokens."""
        x, t, y = batch()["tokens"], torch.full((6,), 0.3), batch()["labels"]
        for layout, change in (("grid", True), ("sequence", False)):
            model = tiny(layout=layout)
            torch.nn.init.zeros_(model.pos_embed)
            difference = (model.velocity(x.flip(1), t, y).flip(1) - model.velocity(x, t, y)).abs().max()
            assert (difference > 0.01) if change else (difference < 1e-4)

    def test_weight_decay(self):
        model = tiny(qk_norm=True)
        decayed = {name for name, p in model.named_parameters() if not model.no_weight_decay(name, p)}
        assert "transformer.blocks.0.mlp.w12.weight" in decayed
        assert not any(name.endswith("bias") or "embed" in name or "norm" in name for name in decayed)


class TestTraining:
    def test_the_stream_decides(self):
        model = tiny()
        assert terms_of(model, seed=1) == terms_of(model.eval(), seed=1) != terms_of(model, seed=2)

    def test_times_are_logit_normal(self):
        t = flow.draw_logit_normal_times(torch.empty(20_000), torch.Generator().manual_seed(0))
        logits = t.logit()
        assert abs(logits.mean()) < 0.036 and abs(logits.std() - 1) < 0.025  # five standard errors at n = 20,000
        model, seen = tiny(), []
        model.register_forward_hook(lambda module, arguments, output: seen.append(arguments))
        terms_of(model, tokens=torch.full_like(batch()["tokens"], 1e6))  # beside these the noise vanishes
        (x, t, _), rng = seen[0], torch.Generator().manual_seed(0)
        torch.testing.assert_close(x / 1e6, t[:, None, None].expand_as(x), atol=1e-5, rtol=0)
        torch.rand(6, generator=rng)  # the dropped labels
        torch.testing.assert_close(t, flow.draw_logit_normal_times(batch()["tokens"], rng))

    def test_label_dropout(self):
        labels = torch.zeros(6, dtype=torch.int64)
        always, never = tiny(label_dropout=1.0), tiny(label_dropout=0.0)
        assert terms_of(always, labels=labels) == terms_of(always, labels=labels + 3)
        assert terms_of(never, labels=labels) != terms_of(never, labels=labels + 3)

    def test_the_direction_loss_is_off_unless_asked_for(self):
        off, on, twice = (terms_of(tiny(cosine_loss_weight=weight)) for weight in (0.0, 1.0, 2.0))
        assert list(off) == ["velocity_mse"] and list(on) == ["velocity_mse", "velocity_cosine"]
        assert off["velocity_mse"] == on["velocity_mse"]
        assert twice["velocity_cosine"].item() == pytest.approx(2 * on["velocity_cosine"].item())

    def test_cosine_distance_is_of_channels(self):
        v = golden.seeded_array("v", (2, 3, 4))
        scale = torch.tensor([1.0, 2.0, 3.0])[:, None]
        for other, expected in ((v * scale, 0.0), (-v, 2.0), (v.roll(1, -1) * torch.tensor([1.0, -1, 1, -1]), None)):
            distance = flow.cosine_distance(v, other).item()
            cosines = (v * other).sum(-1) / v.norm(dim=-1) / other.norm(dim=-1)
            assert distance == pytest.approx(1 - cosines.mean().item(), abs=1e-6)
            assert expected is None or distance == pytest.approx(expected, abs=1e-6)

    @pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # of the norms of queries and keys
    @pytest.mark.parametrize("qk_norm", [False, True])
    def test_lower_precision(self, qk_norm):
        model = tiny(qk_norm=qk_norm)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, tokens = terms_of(model)["velocity_mse"], draw(model)
        assert loss.dtype == tokens.dtype == torch.float32
        assert loss.item() == pytest.approx(terms_of(model)["velocity_mse"].item(), rel=0.02)  # bfloat16 keeps 8 bits
        torch.testing.assert_close(tokens, draw(model), atol=0.2, rtol=0)


def draw(model, labels=(0, 1, 2), seeds=(10, 11, 12), guidance=1.5, **changes) -> torch.Tensor:
    settings = {"steps": 7, "shift": 0.3, "guidance_start": 0.1} | changes
    return lightningdit_sampler.sample(model, torch.tensor(labels), seeds=list(seeds), guidance=guidance, **settings)


class TestSampling:
    def test_shape_and_repeatability(self):
        model = tiny()
        tokens = draw(model)
        assert tokens.shape == (3, 16, 4) and tokens.dtype == torch.float32 and not tokens.requires_grad
        assert torch.equal(tokens, draw(model))
        assert not torch.allclose(tokens, draw(model, seeds=(20, 21, 22)))
        assert not torch.allclose(tokens, draw(model, labels=(3, 3, 3)))

    @pytest.mark.parametrize("guidance", [1.0, 1.5])
    def test_a_sample_does_not_depend_on_its_batch(self, guidance):
        """To the last bit, if the network works on one row at a time."""
        model = tiny()
        forward = model.forward
        model.forward = lambda *batch: torch.cat([forward(*(x[None] for x in row)) for row in zip(*batch, strict=True)])
        labels, seeds = [0, 1, 2, 3, 4, 0, 1, 2], range(10, 18)
        together = draw(model, labels, seeds, guidance)
        for rows in ([5], [6, 0, 3], [7, 2, 5, 0, 6, 1, 4, 3]):
            part = draw(model, [labels[i] for i in rows], [seeds[i] for i in rows], guidance)
            assert torch.equal(part, together[rows])

    def test_times_are_shifted(self):
        t = torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])
        torch.testing.assert_close(flow.shifted(t, 0.3), torch.tensor([0, 0.0909091, 0.2307692, 0.7297297, 1.0]))
        torch.testing.assert_close(flow.shifted(t, 1.0), t)

    def test_no_pass_is_wasted(self):
        model, seen = tiny(), []
        model.register_forward_hook(lambda module, arguments, output: seen.append(arguments))
        draw(model, guidance=1.0, steps=250)
        assert [len(x) for x, _, _ in seen] == [3] * 249
        times = torch.stack([t[0] for _, t, _ in seen])
        torch.testing.assert_close(times, flow.shifted(torch.linspace(0, 1, 250), 0.3)[:-1])
        assert torch.equal(seen[0][0][1], torch.randn(16, 4, generator=torch.Generator().manual_seed(11)))
        seen.clear()
        draw(model, guidance=2.0, steps=250)
        assert [len(x) for x, _, _ in seen] == [3 if t < 0.1 else 6 for t in times]
        assert [len(x) for x, _, _ in seen].count(3) == 68  # 0.3 t / (1 - 0.7 t) < 0.1 for t < 0.2703 of 249 steps

    def test_guidance_acts_after_its_start_only(self):
        model = tiny()
        unguided = draw(model, guidance=1.0)
        assert torch.equal(draw(model, guidance=4.0, guidance_start=1.0), unguided)
        late, always = (draw(model, guidance=4.0, guidance_start=start) for start in (0.1, 0.0))
        assert (late - unguided).abs().max() > 0.01 and (always - late).abs().max() > 0.001
        torch.testing.assert_close(draw(model, guidance=1.0 + 1e-6), unguided, atol=5e-3, rtol=0)

    def test_a_learned_point_is_found(self):
        """The exact velocity of data at one point sends every noise there; Euler's last step lands on it exactly."""
        model = tiny()
        model.forward = lambda x, t, y: (0.5 - x) / (1 - t).view(-1, 1, 1)
        tokens = draw(model, guidance=1.0, steps=50)
        torch.testing.assert_close(tokens, torch.full_like(tokens, 0.5), atol=1e-4, rtol=0)

    def test_refused_calls(self):
        with pytest.raises(ValueError, match="seeds"):
            draw(tiny(), seeds=(1, 2))
        with pytest.raises(ValueError, match="at least 2 points"):
            draw(tiny(), steps=1)
