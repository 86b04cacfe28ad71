"""DiT: published sizes, agreement with the reference implementation, training loss, sampling.

What it shares with SiT (guidance of all channels, initialisation, label dropout) is tested there.
"""

import pytest
import torch

from tesserae.diffusion.ddpm import DDPMSampler, guide
from tesserae.generators import dit, dit_sampler
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
    "diffusion": {"steps": 1000, "schedule": "linear"},
}
NULL = TINY["classes"]


def on_meta(size: str, token_width: int) -> dit.DiT:
    width, blocks, heads = SIZES[size]
    large = {"token_length": 256, "token_width": token_width, "classes": 1000}
    with torch.device("meta"):
        return dit.build({**TINY, **large, "width": width, "blocks": blocks, "heads": heads})


def tiny(**changes) -> dit.DiT:
    model = dit.build({**TINY, **changes})
    golden.fill_by_name(model, 0.2)  # large enough for time, class and position to matter
    return model


def batch(count: int = 6, length: int = TINY["token_length"]) -> dict[str, torch.Tensor]:
    tokens = golden.seeded_array("batch", (count, length, TINY["token_width"]))
    return {"tokens": tokens, "labels": torch.arange(count) % TINY["classes"]}


def terms_of(model: dit.DiT, seed: int = 0, **changes) -> dict[str, torch.Tensor]:
    data = batch(length=model.token_shape[0])
    ((group, terms),) = model.losses({**data, **changes}, step=0, rng=torch.Generator().manual_seed(seed))
    assert group == "generator" and list(terms) == ["noise_mse", "noise_vb"]
    return terms


class TestPublishedSizes:
    @pytest.mark.parametrize(
        ("size", "token_width", "expected"),
        [
            ("B", 16, 130_315_808),
            ("L", 16, 457_840_672),
            ("XL", 16, 674_834_720),
            ("H", 16, 950_924_832),
            ("B", 32, 130_352_704),
        ],
    )
    def test_parameters(self, size, token_width, expected):
        model = on_meta(size, token_width)
        assert sum(p.numel() for p in model.parameters()) == expected

    def test_checkpoint_layout(self):
        tensors = {name: tuple(value.shape) for name, value in on_meta("B", 16).state_dict().items()}
        assert len(tensors) == 132
        for name, shape in {
            "pos_embed": (1, 256, 768),
            "x_embedder.proj.weight": (768, 16, 1, 1),
            "y_embedder.embedding_table.weight": (1001, 768),
            "transformer.blocks.11.adaLN_modulation.1.bias": (4608,),
            "transformer.blocks.0.mlp.fc1.weight": (3072, 768),
            "final_layer.linear.weight": (32, 768),
        }.items():
            assert tensors[name] == shape


@pytest.mark.parametrize("layout", ["grid", "sequence"])
class TestReference:
    """Numbers of the official code with weights filled by name. Its 1-D guidance, on the wrong axis, was given ours."""

    @pytest.fixture
    def numbers(self, layout):
        return golden.load("dit")[layout]

    @pytest.fixture
    def model(self, numbers):
        model = dit.build(numbers["model"])
        golden.fill_by_name(model, numbers["fill_scale"])
        return model

    @pytest.fixture
    def inputs(self, numbers, model):
        arrays = {name: golden.seeded_array(f"dit/{name}", (2, *model.token_shape)) for name in ("x", "noise")}
        return {**arrays, "t": torch.tensor(numbers["t"]), "y": torch.tensor(numbers["labels"])}

    def assert_equals(self, actual, expected, **tolerance):
        expected = torch.tensor(expected, dtype=actual.dtype).view(actual.shape)
        torch.testing.assert_close(actual.detach(), expected, **{"atol": 2e-5, "rtol": 0, **tolerance})

    def test_names(self, numbers, model):
        assert {name: list(value.shape) for name, value in model.state_dict().items()} == numbers["tensors"]

    def test_forward(self, numbers, model, inputs):
        output = model(inputs["x"], inputs["t"], model.y_embedder(inputs["y"]))
        self.assert_equals(output, numbers["forward"])

    def test_guidance(self, numbers, model, inputs):
        t, labels = torch.tensor([numbers["guided_t"]]), inputs["y"]
        halves = (model(inputs["x"], t, model.y_embedder(y)) for y in (labels, torch.full_like(labels, NULL)))
        self.assert_equals(guide(*halves, numbers["guidance"]), numbers["guided"])

    def test_training_loss(self, numbers, model, inputs):
        terms = model.losses_at(inputs["x"], inputs["y"], inputs["t"], inputs["noise"])
        self.assert_equals(terms.mse, numbers["loss_mse"])
        self.assert_equals(terms.vb, numbers["loss_vb"])

    @pytest.mark.parametrize(("name", "guidance"), [("sample", 1.0), ("sample_guided", 1.5)])
    def test_sampling(self, numbers, model, inputs, name, guidance):
        settings = {"guidance": guidance, "steps": numbers["steps"]}
        tokens = dit_sampler.sample(model, inputs["y"], seeds=numbers["seeds"], **settings)
        assert tokens.abs().max() > 100  # random weights: the state grows, and rounding with it
        self.assert_equals(tokens, numbers[name], atol=2e-3, rtol=1e-5)


class TestModel:
    def test_refused_settings(self):
        with pytest.raises(ValueError, match="square"):
            dit.build({**TINY, "token_length": 15})
        with pytest.raises(TypeError):
            dit.build({**TINY, "depth": 2})
        with pytest.raises(TypeError):
            dit.build({**TINY, "diffusion": {"steps": 1000, "schedule": "linear", "beta": 0.1}})
        with pytest.raises(ValueError, match="schedule"):
            dit.build({**TINY, "diffusion": {"steps": 1000, "schedule": "square"}})

    @pytest.mark.parametrize("layout", ["grid", "sequence"])
    def test_gradients_reach_every_parameter(self, layout):
        model = tiny(layout=layout, label_dropout=0.5)
        sum(terms_of(model).values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name

    def test_one_time_for_the_whole_batch(self):
        model, data = tiny(), batch()
        classes = model.y_embedder(data["labels"])
        one = model(data["tokens"], torch.tensor([300]), classes)
        torch.testing.assert_close(one, model(data["tokens"], torch.full((6,), 300), classes))


class TestTraining:
    def test_the_stream_decides(self):
        model = tiny()
        assert terms_of(model, seed=1) == terms_of(model.eval(), seed=1) != terms_of(model, seed=2)

    def test_all_times_are_drawn(self):
        model, seen = tiny(diffusion={"steps": 20, "schedule": "linear"}), set()
        model.register_forward_hook(lambda module, arguments, output: seen.update(arguments[1].tolist()))
        for seed in range(40):
            terms_of(model, seed=seed)
        assert seen == set(range(20))

    def test_label_dropout(self):
        labels = torch.zeros(6, dtype=torch.int64)
        always, never = tiny(label_dropout=1.0), tiny(label_dropout=0.0)
        assert terms_of(always, labels=labels) == terms_of(always, labels=labels + 3)
        assert terms_of(never, labels=labels) != terms_of(never, labels=labels + 3)

    def test_it_learns(self):
        torch.manual_seed(0)
        model = dit.build(TINY)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        tokens, losses = torch.full((6, 16, 4), 0.5), []  # the noise can be read off the state
        for step in range(60):
            loss = sum(terms_of(model, seed=step, tokens=tokens).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert sum(losses[-10:]) < 0.7 * sum(losses[:10])

    def test_lower_precision(self):
        model = tiny()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            terms, tokens = terms_of(model), draw(model)
        assert {value.dtype for value in (*terms.values(), tokens)} == {torch.float32}
        assert terms["noise_mse"].item() == pytest.approx(terms_of(model)["noise_mse"].item(), rel=0.02)


def draw(model, labels=(0, 1, 2), seeds=(10, 11, 12), guidance=1.5, steps=6, **settings) -> torch.Tensor:
    return dit_sampler.sample(
        model, torch.tensor(labels), seeds=list(seeds), guidance=guidance, steps=steps, **settings
    )


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
        model.forward = lambda x, t, y: torch.cat(
            [forward(row[None], t, one[None]) for row, one in zip(x, y, strict=True)]
        )
        labels, seeds = [0, 1, 2, 3, 4, 0, 1, 2], range(10, 18)
        together = draw(model, labels, seeds, guidance)
        for rows in ([5], [6, 0, 3], [7, 2, 5, 0, 6, 1, 4, 3]):
            part = draw(model, [labels[i] for i in rows], [seeds[i] for i in rows], guidance)
            assert torch.equal(part, together[rows])

    def test_steps_and_passes(self):
        model, seen = tiny(), []
        model.register_forward_hook(lambda module, arguments, output: seen.append(arguments))
        draw(model, guidance=1.0, steps=5)
        assert [t.tolist() for _, t, _ in seen] == [[999], [749], [500], [250], [0]]
        assert {len(x) for x, _, _ in seen} == {3}
        noise = torch.randn(16, 4, generator=torch.Generator().manual_seed(11))
        assert torch.equal(seen[0][0][1], noise)
        seen.clear()
        draw(model, guidance=2.0)
        assert [len(x) for x, _, _ in seen] == [6] * 6
        assert all(torch.equal(*x.chunk(2)) for x, _, _ in seen)

    def test_classes_are_embedded_once(self):
        model, calls = tiny(), []
        model.y_embedder.register_forward_hook(lambda *call: calls.append(call))
        draw(model)
        assert len(calls) == 2  # with and without the class

    def test_guidance_one_is_no_guidance(self):
        model = tiny()
        torch.testing.assert_close(draw(model, guidance=1.0), draw(model, guidance=1.0 + 1e-7), atol=1e-3, rtol=1e-4)

    @torch.no_grad()
    def test_the_noise_of_each_step_goes_on_from_the_sample_s_stream(self):
        model, rng = tiny(), torch.Generator().manual_seed(10)
        noise = torch.stack([torch.randn(1, 16, 4, generator=rng) for _ in range(6)])
        sampler, classes = DDPMSampler(model.diffusion, 6), model.y_embedder(torch.tensor([0]))
        expected = sampler.sample(lambda x, i: model(x, torch.tensor([sampler.timesteps[i]]), classes), noise, 1.0)
        torch.testing.assert_close(draw(model, [0], [10], guidance=1.0), expected)

    def test_a_learned_point_is_found(self):
        """The exact noise of data at one point leads every start there: the last step has no noise of its own."""
        model = tiny()
        signal, scale = (torch.from_numpy(table).float() for table in (model.diffusion.signal, model.diffusion.noise))

        def exact(x, t, classes):
            noise = (x - signal[t] * 0.5) / scale[t]
            return torch.cat([noise, torch.zeros_like(noise)], dim=-1)

        model.forward = exact
        tokens = draw(model, guidance=1.0, steps=50)
        torch.testing.assert_close(tokens, torch.full_like(tokens, 0.5), atol=1e-4, rtol=0)

    def test_the_limit_holds_clean_predictions_in_range(self):
        model = tiny()
        assert draw(model).abs().max() > 10
        assert draw(model, x0_limit=3.0).abs().max() <= 3.0 + 1e-5
        assert torch.equal(draw(model, x0_limit=1e9), draw(model))

    def test_refused_calls(self):
        with pytest.raises(ValueError, match="seeds"):
            draw(tiny(), seeds=(1, 2))
        with pytest.raises(ValueError, match="at most 1000"):
            draw(tiny(), steps=1001)
