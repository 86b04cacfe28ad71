"""SiT: published sizes, agreement with the reference implementation, training loss, guidance, sampling."""

import pytest
import torch
from torchdiffeq import odeint

from tesserae.diffusion import flow, integrators
from tesserae.generators import sit, sit_sampler
from tests import golden

SIZES = {"S": (512, 8, 8), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}
TINY = {
    "token_length": 16,
    "token_width": 4,
    "layout": "grid",
    "classes": 5,
    "width": 32,
    "blocks": 2,
    "heads": 4,
    "label_dropout": 0.1,
}


def on_meta(size: str, token_width: int) -> sit.SiT:
    width, blocks, heads = SIZES[size]
    tokens = {"token_length": 256, "token_width": token_width, "layout": "grid"}
    with torch.device("meta"):
        return sit.build(
            {**tokens, "classes": 1000, "label_dropout": 0.1, "width": width, "blocks": blocks, "heads": heads}
        )


def tiny(**changes) -> sit.SiT:
    model = sit.build({**TINY, **changes})
    golden.fill_by_name(model, 0.2)  # large enough for time, class and position to matter
    return model


def batch(count: int = 6) -> dict[str, torch.Tensor]:
    tokens = golden.seeded_array("batch", (count, TINY["token_length"], TINY["token_width"]))
    return {"tokens": tokens, "labels": torch.arange(count) % TINY["classes"]}


def loss_of(model: sit.SiT, seed: int = 0, **changes) -> torch.Tensor:
    ((group, terms),) = model.losses({**batch(), **changes}, step=0, rng=torch.Generator().manual_seed(seed))
    assert group == "generator" and list(terms) == ["velocity_mse"]
    return terms["velocity_mse"]


class TestPublishedSizes:
    @pytest.mark.parametrize(
        ("size", "token_width", "expected"),
        [
            ("S", 16, 39_259_152),
            ("B", 16, 130_303_504),
            ("L", 16, 457_824_272),
            ("XL", 16, 674_816_272),
            ("B", 32, 130_328_096),
        ],
    )
    def test_parameters(self, size, token_width, expected):
        model = on_meta(size, token_width)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
        assert sum(p.numel() for _, p in model.parameter_groups()["generator"]) == expected

    @pytest.mark.parametrize(("size", "expected"), [("B", 196_608), ("L", 262_144), ("XL", 294_912)])
    def test_frozen_positions(self, size, expected):
        assert on_meta(size, 16).pos_embed.numel() == expected

    def test_checkpoint_layout(self):
        tensors = {name: tuple(value.shape) for name, value in on_meta("B", 16).state_dict().items()}
        assert len(tensors) == 132
        for name, shape in {
            "pos_embed": (1, 256, 768),
            "x_embedder.proj.weight": (768, 16, 1, 1),
            "t_embedder.mlp.0.weight": (768, 256),
            "t_embedder.mlp.2.bias": (768,),
            "y_embedder.embedding_table.weight": (1001, 768),
            "transformer.blocks.11.attn.qkv.weight": (2304, 768),
            "transformer.blocks.11.attn.proj.bias": (768,),
            "transformer.blocks.0.adaLN_modulation.1.weight": (4608, 768),
            "transformer.blocks.0.mlp.fc1.weight": (3072, 768),
            "transformer.blocks.0.mlp.fc2.weight": (768, 3072),
            "final_layer.adaLN_modulation.1.weight": (1536, 768),
            "final_layer.linear.weight": (16, 768),
        }.items():
            assert tensors[name] == shape


class TestReference:
    """Numbers of the official code with weights filled by name; float32 sums in another order differ by about 1e-6."""

    @pytest.fixture
    def numbers(self):
        return golden.load("sit")

    @pytest.fixture
    def model(self, numbers):
        model = sit.build({**numbers["model"], "layout": "grid"})
        golden.fill_by_name(model, numbers["fill_scale"])
        return model

    @pytest.fixture
    def inputs(self, numbers):
        shape = (len(numbers["labels"]), numbers["model"]["token_length"], numbers["model"]["token_width"])
        arrays = {name: golden.seeded_array(f"sit/{name}", shape) for name in ("x", "noise")}
        increments = golden.seeded_array("sit/increments", (shape[0], numbers["sde_steps"] - 1, *shape[1:]))
        return {
            **arrays,
            "increments": increments,
            "t": torch.tensor(numbers["t"]),
            "y": torch.tensor(numbers["labels"]),
        }

    def assert_equals(self, actual, expected, tolerance=2e-5):
        expected = torch.tensor(expected, dtype=actual.dtype).view(actual.shape)
        torch.testing.assert_close(actual.detach(), expected, atol=tolerance, rtol=0)

    def test_forward(self, numbers, model, inputs):
        self.assert_equals(model.velocity(inputs["x"], inputs["t"], inputs["y"]), numbers["forward"])

    def test_guidance(self, numbers, model, inputs):
        velocity = sit_sampler.guided_velocity(model, inputs["y"], numbers["guidance"])
        self.assert_equals(velocity(inputs["x"], torch.tensor(numbers["guided_t"])), numbers["guided"])

    def test_training_loss(self, numbers, model, inputs):
        def velocity(x, t):
            return model.velocity(x, t, inputs["y"])

        self.assert_equals(flow.velocity_mse(velocity, inputs["x"], inputs["noise"], inputs["t"]), numbers["loss"])

    @torch.no_grad()
    def test_trajectories(self, numbers, model, inputs):
        velocity = sit_sampler.guided_velocity(model, inputs["y"], numbers["guidance"])
        for name, solver in (("euler", integrators.euler), ("heun", integrators.heun)):
            grid = torch.linspace(0, 1, numbers[f"{name}_steps"] + 1)
            self.assert_equals(solver(velocity, inputs["noise"], grid), numbers[f"{name}_guided"])
        end = integrators.euler_maruyama(velocity, inputs["noise"], inputs["increments"], form="sigma", last_step=0.04)
        self.assert_equals(end, numbers["sde_sigma_guided"])

    @torch.no_grad()
    def test_adaptive_trajectory(self, numbers, model, inputs):
        """The official code has one step for the batch: equal under its solver, near under ours (tests/diffusion).

        In float64: in float32, rounding moves the adaptive steps.
        """
        noise, tolerances = inputs["noise"].double(), {"atol": numbers["atol"], "rtol": numbers["rtol"]}
        velocity = sit_sampler.guided_velocity(model.double(), inputs["y"], numbers["guidance"])
        ends = torch.tensor([0.0, 1.0])
        official = odeint(lambda t, x: velocity(x, t), noise, ends, method="dopri5", **tolerances)[-1]
        self.assert_equals(official, numbers["dopri5_guided_float64"])
        end = integrators.dopri5(velocity, noise, **tolerances)
        self.assert_equals(end, numbers["dopri5_guided_float64"], tolerance=1e-2)
        velocity = sit_sampler.guided_velocity(model.float(), inputs["y"], numbers["guidance"])
        rounded = integrators.dopri5(velocity, inputs["noise"], **tolerances)
        torch.testing.assert_close(rounded, end.float(), atol=1e-3, rtol=0)

    @torch.no_grad()
    def test_tokens_without_a_grid(self):
        numbers = golden.load("sit_sequence")
        model = sit.build(numbers["model"])
        golden.fill_by_name(model, numbers["fill_scale"])
        assert {name: list(value.shape) for name, value in model.state_dict().items()} == numbers["tensors"]
        labels, t, shape = torch.tensor(numbers["labels"]), torch.tensor(numbers["t"]), (2, *model.token_shape)
        x, noise = (golden.seeded_array(f"sit/{name}", shape) for name in ("x", "noise"))
        self.assert_equals(model.velocity(x, t, labels), numbers["forward"])
        velocity = sit_sampler.guided_velocity(model, labels, numbers["guidance"])
        self.assert_equals(velocity(x, torch.tensor(numbers["guided_t"])), numbers["guided"])
        loss = flow.velocity_mse(lambda x, t: model.velocity(x, t, labels), x, noise, t)
        self.assert_equals(loss, numbers["loss"])
        settings = {"guidance": numbers["guidance"], "method": "euler", "steps": numbers["steps"]}
        tokens = sit_sampler.sample(model, labels, seeds=numbers["seeds"], **settings)
        self.assert_equals(tokens, numbers["sample_guided"])


class TestModel:
    def test_refused_settings(self):
        with pytest.raises(ValueError, match="square"):
            sit.build({**TINY, "token_length": 15})
        with pytest.raises(TypeError):
            sit.build({**TINY, "depth": 2})
        with pytest.raises(TypeError):
            sit.build({name: value for name, value in TINY.items() if name != "heads"})

    def test_it_starts_as_the_zero_velocity(self):
        torch.manual_seed(0)
        model = sit.build(TINY)
        data = batch()
        assert model.velocity(data["tokens"], torch.rand(6), data["labels"]).abs().max() == 0
        assert 0.015 < model.y_embedder.embedding_table.weight.std() < 0.025
        assert 0.018 < model.t_embedder.mlp[0].weight.std() < 0.022
        bound = (6 / (4 + 32)) ** 0.5  # Xavier-uniform of C = 4, D = 32
        assert 0.9 * bound < model.x_embedder.proj.weight.abs().max() <= bound
        biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
        assert all(p.abs().max() == 0 for p in biases)

    def test_gradients_reach_every_parameter(self):
        torch.manual_seed(0)
        model = sit.build({**TINY, "label_dropout": 0.5})
        for layer in (*model.transformer["blocks"], model.final_layer):
            torch.nn.init.normal_(layer.adaLN_modulation[1].weight, std=0.1)
        torch.nn.init.normal_(model.final_layer.linear.weight, std=0.1)
        loss_of(model).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name

    def test_positions_are_saved_but_not_trained(self):
        model = tiny()
        before = model.pos_embed.clone()
        parameters = [p for _, p in model.parameter_groups()["generator"]]
        optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1)
        loss_of(model).backward()
        optimizer.step()
        assert torch.equal(model.pos_embed, before) and not model.pos_embed.requires_grad
        assert "pos_embed" in model.state_dict()
        assert all(parameter is not model.pos_embed for parameter in parameters)

    def test_position_time_and_class_matter(self):
        model, x, t = tiny(), batch()["tokens"], torch.full((6,), 0.3)
        labels = torch.zeros(6, dtype=torch.int64)
        base = model.velocity(x, t, labels)
        assert (model.velocity(x.flip(1), t, labels).flip(1) - base).abs().max() > 0.1
        assert (model.velocity(x, t + 0.5, labels) - base).abs().max() > 0.1
        assert (model.velocity(x, t, labels + 1) - base).abs().max() > 0.1

    def test_one_time_for_the_whole_batch(self):
        model, data = tiny(), batch()
        one = model.velocity(data["tokens"], torch.tensor([0.3]), data["labels"])
        torch.testing.assert_close(one, model.velocity(data["tokens"], torch.full((6,), 0.3), data["labels"]))

    def test_weight_decay(self):
        model = tiny()
        decayed = {name for name, p in model.named_parameters() if not model.no_weight_decay(name, p)}
        assert "transformer.blocks.0.attn.qkv.weight" in decayed and "final_layer.linear.weight" in decayed
        assert not any(name.endswith("bias") or "embed" in name for name in decayed)


class TestTraining:
    def test_the_stream_decides(self):
        model = tiny()
        assert loss_of(model, seed=1) == loss_of(model, seed=1) != loss_of(model, seed=2)

    def test_training_mode_changes_nothing(self):
        model = tiny()
        assert loss_of(model.train()) == loss_of(model.eval())

    def test_time_runs_from_noise_to_data(self):
        """With data at 1e6 the noise vanishes beside them: the state that the network sees is t times the data."""
        model, seen = tiny(), []
        model.register_forward_hook(lambda module, arguments, output: seen.append(arguments))
        loss_of(model, tokens=torch.full_like(batch()["tokens"], 1e6))
        x, t, _ = seen[0]
        torch.testing.assert_close(x / 1e6, t[:, None, None].expand_as(x), atol=1e-5, rtol=0)

    def test_label_dropout(self):
        labels = torch.zeros(6, dtype=torch.int64)
        always, never = tiny(label_dropout=1.0), tiny(label_dropout=0.0)
        assert loss_of(always, labels=labels) == loss_of(always, labels=labels + 3)
        assert loss_of(never, labels=labels) != loss_of(never, labels=labels + 3)
        many = torch.arange(20_000) % 5
        dropped = tiny().y_embedder.drop(many, 0.1, torch.Generator().manual_seed(0))
        changed = dropped != many
        assert (dropped[changed] == 5).all()
        assert abs(changed.float().mean() - 0.1) < 0.0107  # five standard errors at n = 20,000

    def test_it_learns(self):
        torch.manual_seed(0)
        model = sit.build(TINY)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        tokens = torch.full_like(batch()["tokens"], 0.5)  # the best velocity is known: (0.5 - x) / (1 - t)
        losses = []
        for step in range(60):
            loss = loss_of(model, seed=step, tokens=tokens)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert sum(losses[-10:]) < 0.7 * sum(losses[:10])

    def test_lower_precision(self):
        model = tiny()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model)
            tokens = draw(model)
        assert loss.dtype == tokens.dtype == torch.float32
        assert loss.item() == pytest.approx(loss_of(model).item(), rel=0.02)  # bfloat16 keeps 8 bits
        torch.testing.assert_close(tokens, draw(model), atol=0.1, rtol=0)


METHODS = {
    "euler": {"steps": 6},
    "heun": {"steps": 4},
    "euler_maruyama": {"steps": 6},
    "dopri5": {"atol": 1e-6, "rtol": 1e-3},
}


def draw(model, labels=(0, 1, 2), seeds=(10, 11, 12), guidance=1.5, method="euler", **settings) -> torch.Tensor:
    settings = settings or METHODS[method]
    return sit_sampler.sample(
        model, torch.tensor(labels), seeds=list(seeds), guidance=guidance, method=method, **settings
    )


def in_batches(model, **settings):
    """Eight samples drawn together, and the same ones in batches of 1, 3 and 8 in another order, pair by pair."""
    labels, seeds = [0, 1, 2, 3, 4, 0, 1, 2], range(10, 18)
    together = draw(model, labels, seeds, **settings)
    for rows in ([5], [6, 0, 3], [7, 2, 5, 0, 6, 1, 4, 3]):
        yield together[rows], draw(model, [labels[i] for i in rows], [seeds[i] for i in rows], **settings)


class TestSampling:
    @pytest.mark.parametrize("method", METHODS)
    def test_shape_and_repeatability(self, method):
        model = tiny()
        tokens = draw(model, method=method)
        assert tokens.shape == (3, 16, 4) and tokens.dtype == torch.float32 and not tokens.requires_grad
        assert torch.equal(tokens, draw(model, method=method))
        assert not torch.allclose(tokens, draw(model, method=method, seeds=(20, 21, 22)))
        assert not torch.allclose(tokens, draw(model, method=method, labels=(3, 3, 3)))
        with torch.inference_mode():
            assert torch.equal(tokens, draw(model, method=method))

    @pytest.mark.parametrize("guidance", [1.0, 1.5])
    @pytest.mark.parametrize("method", METHODS)
    def test_a_sample_does_not_depend_on_its_batch(self, method, guidance):
        model = tiny()
        tolerance = 1e-3 if method == "dopri5" else 1e-5  # float32 rounding, which adaptive steps amplify
        for together, part in in_batches(model, method=method, guidance=guidance):
            torch.testing.assert_close(part, together, atol=tolerance, rtol=0)

    @pytest.mark.parametrize("guidance", [1.0, 1.5])
    @pytest.mark.parametrize("method", METHODS)
    def test_without_rounding_a_sample_does_not_depend_on_its_batch_at_all(self, method, guidance):
        """The network on one row at a time gives the same bits in every batch; so do then all samplers."""
        model = tiny()
        forward = model.forward
        model.forward = lambda *batch: torch.cat([forward(*(x[None] for x in row)) for row in zip(*batch, strict=True)])
        for together, part in in_batches(model, method=method, guidance=guidance):
            assert torch.equal(part, together)

    @pytest.mark.parametrize("method", METHODS)
    def test_guidance_one_is_no_guidance(self, method):
        """The guided formula just above 1 agrees with the single forward pass at 1."""
        model = tiny()
        torch.testing.assert_close(
            draw(model, method=method, guidance=1.0), draw(model, method=method, guidance=1.0 + 1e-6), atol=5e-3, rtol=0
        )

    def test_guidance_one_costs_one_forward_pass(self):
        model, sizes = tiny(), []
        model.register_forward_hook(lambda module, arguments, output: sizes.append(len(arguments[0])))
        draw(model, guidance=1.0)
        assert sizes == [3] * 6
        sizes.clear()
        draw(model, guidance=2.0)
        assert sizes == [6] * 6

    def test_guidance_extrapolates_on_all_channels(self):
        model, x, t = tiny(), batch(3)["tokens"], torch.tensor(0.4)
        labels, null = torch.tensor([0, 1, 2]), torch.full((3,), TINY["classes"])
        conditional, unconditional = (model.velocity(x, t[None], y) for y in (labels, null))
        for guidance in (0.0, 1.0, 2.5):
            guided = sit_sampler.guided_velocity(model, labels, guidance)(x, t)
            torch.testing.assert_close(guided, unconditional + guidance * (conditional - unconditional))
        assert ((conditional - unconditional).abs().amax((0, 1)) > 0.01).all()

    @pytest.mark.parametrize("guidance", [1.0, 2.5])
    def test_some_rows_at_their_own_times(self, guidance):
        model, x, rows = tiny(), batch(4)["tokens"], torch.tensor([3, 0])
        velocity = sit_sampler.guided_velocity(model, torch.tensor([0, 1, 2, 3]), guidance)
        some = velocity(x[rows], torch.tensor([0.4, 0.7]), rows)
        for i, (row, t) in enumerate(((3, 0.4), (0, 0.7))):
            torch.testing.assert_close(some[i], velocity(x, torch.tensor(t))[row])

    def test_sampling_starts_at_noise_and_time_zero(self):
        model, seen = tiny(), []
        model.register_forward_hook(lambda module, arguments, output: seen.append(arguments))
        draw(model, guidance=1.0, steps=4)
        assert [t.tolist() for _, t, _ in seen] == [[t] * 3 for t in (0.0, 0.25, 0.5, 0.75)]
        noise = torch.randn(16, 4, generator=torch.Generator().manual_seed(11))
        assert torch.equal(seen[0][0][1], noise)

    def test_the_sde_draws_on_from_the_same_stream(self):
        model, passes = tiny(), []
        velocity = sit_sampler.guided_velocity(model, torch.tensor([0]), 1.5)
        rng = torch.Generator().manual_seed(10)
        start, increments = torch.randn(1, 16, 4, generator=rng), torch.randn(1, 5, 16, 4, generator=rng)
        with torch.no_grad():
            expected = integrators.euler_maruyama(velocity, start, increments, form="sigma", last_step=0.04)
        model.register_forward_hook(lambda module, arguments, output: passes.append(1))
        tokens = draw(model, method="euler_maruyama", labels=(0,), seeds=(10,), steps=6)
        torch.testing.assert_close(tokens, expected)
        assert len(passes) == 6

    def test_euler_converges_to_dopri5(self):
        model = tiny()
        exact = draw(model, method="dopri5", atol=1e-6, rtol=1e-5)
        errors = [(draw(model, method="euler", steps=n) - exact).abs().max().item() for n in (8, 32, 128)]
        # First order: four times the steps, a quarter of the error; half is asked for.
        assert errors[1] < errors[0] / 2 and errors[2] < errors[1] / 2

    def test_a_learned_point_is_found(self):
        """The exact velocity of data at one point sends every noise there; Euler's last step lands on it exactly."""
        model = tiny()
        model.forward = lambda x, t, y: (0.5 - x) / (1 - t).view(-1, 1, 1)
        tokens = draw(model, guidance=1.0, steps=50)
        torch.testing.assert_close(tokens, torch.full_like(tokens, 0.5), atol=1e-4, rtol=0)

    def test_refused_calls(self):
        model = tiny()
        with pytest.raises(ValueError, match="seeds"):
            draw(model, seeds=(1, 2))
        with pytest.raises(ValueError, match="unknown method"):
            draw(model, method="rk4", steps=3)
        with pytest.raises(ValueError, match="needs steps"):
            draw(model, method="euler", atol=1e-6)
        with pytest.raises(ValueError, match="needs rtol"):
            draw(model, method="dopri5", atol=1e-6)
        for method, steps in (("euler", 0), ("euler_maruyama", 1)):
            with pytest.raises(ValueError, match="too few steps"):
                draw(model, method=method, steps=steps)
