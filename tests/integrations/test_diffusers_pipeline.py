"""A pipeline called as those of diffusers: the engine's pictures."""

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from janusflow import JanusFlowPipeline
from janusflow.integrations.diffusers_pipeline import as_images
from janusflow.pipeline import Pipeline

PROMPTS = ["a ring", "two red circles"]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pipe(flow_bundle):
    pipe = JanusFlowPipeline(Pipeline(**vars(flow_bundle)))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_pictures_are_the_engines_bit_for_bit(pipe):
    drawn = pipe(PROMPTS, 3, 2.5, num_images_per_prompt=2, generator=seeded(5), sampler="heun").images
    engine = pipe.janusflow.generate(PROMPTS, 2, seed=5, steps=3, guidance=2.5, sampler="heun")
    assert [one.tobytes() for one in drawn] == [one.tobytes() for one in engine] and len(drawn) == 4
    assert drawn[0].tobytes() != drawn[1].tobytes()
    (apart,) = pipe(PROMPTS, 3, 2.5, generator=[seeded(6), seeded(5)], sampler="heun", return_dict=False)
    assert len(apart) == 2 and np.abs(np.asarray(apart[0], int) - np.asarray(drawn[1], int)).max() <= 1


def test_height_and_width_are_the_engines_size(pipe):
    times = []
    drawn = pipe(
        "a ring", 2, generator=seeded(5), height=8, width=24, shift_scale="tokens",
        callback_on_step_end=lambda of, step, time, given: times.append(float(time)),
    ).images  # fmt: skip
    engine = pipe.janusflow.generate("a ring", seed=5, steps=2, size=(8, 24), shift_scale="tokens")
    assert [one.tobytes() for one in drawn] == [one.tobytes() for one in engine]
    assert drawn[0].width == 3 * drawn[0].height
    shift = (12 / 16) ** 0.5  # tokens over the square's
    assert times == pytest.approx([0.0, 0.5 / (0.5 + shift * 0.5)])
    with pytest.raises(ValueError, match="height and width come together"):
        pipe("a ring", 2, height=8)


def test_codes_are_drawn_too(janus_bundle):
    pipe = JanusFlowPipeline(Pipeline(**vars(janus_bundle)))
    drawn = pipe("a ring", guidance_scale=2.0, generator=seeded(1)).images[0]
    assert drawn.tobytes() == pipe.janusflow.generate("a ring", seed=1, guidance=2.0)[0].tobytes()
    with pytest.raises(ValueError, match="steps does not go with an autoregressive head"):
        pipe("a ring", num_inference_steps=5)


def test_each_output_type_is_the_same_picture(pipe):
    pil, floats, tensors, latents = (
        pipe("a ring", 2, generator=seeded(0), output_type=kind).images for kind in ("pil", "np", "pt", "latent")
    )
    assert np.array_equal((floats[0] * 255).round().astype(np.uint8), np.asarray(pil[0]))
    assert torch.equal(tensors, torch.from_numpy(floats).permute(0, 3, 1, 2))
    assert tuple(latents.shape[1:]) == pipe.janusflow.model.head.latent_shape
    assert torch.equal(as_images(latents, pipe.janusflow.codec, "pt"), tensors)
    pipe.janusflow.codec = None
    with pytest.raises(ValueError, match="image codec"):
        pipe("a ring", 2, callback_on_step_end=lambda *_: pytest.fail("it was drawn in vain"))


def test_a_callback_sees_each_step_and_may_change_its_latents(pipe):
    seen = []

    def watch(of, step, time, given):
        seen.append((of is pipe, step, round(time.item(), 3), given["latents"].shape[0]))
        return {"latents": torch.zeros_like(given["latents"])} if step == 2 else given

    changed = pipe("a ring", 3, shift=3.0, generator=seeded(0), output_type="latent", callback_on_step_end=watch)
    assert seen == [(True, 0, 0.0, 1), (True, 1, 0.143, 1), (True, 2, 0.4, 1)] and not changed.images.any()


def test_it_is_loaded_moved_and_saved_as_one(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    again = JanusFlowPipeline.from_pretrained(tmp_path / "saved", torch_dtype=torch.bfloat16)
    assert isinstance(again, DiffusionPipeline) and again.dtype == torch.bfloat16 and again.device.type == "cpu"
    assert again.to("cpu", torch.float32) is again and again.dtype == torch.float32
    assert again.components == {"janusflow": again.janusflow}
    torch.manual_seed(3)
    without_seed = [again("a ring", 1, output_type="latent").images for _ in range(2)]
    assert not torch.equal(*without_seed)
    for call, message in (
        (lambda: again.enable_model_cpu_offload(), "moved whole"),
        (lambda: again([]), "no prompt"),
        (lambda: again("a ring", output_type="jpg"), "output_type must be .* got 'jpg'"),
        (lambda: again("a ring", num_images_per_prompt=0), "num_images_per_prompt must be at least 1, got 0"),
        (lambda: again(PROMPTS, generator=[seeded(0)]), "2 pictures need as many generators, got 1"),
        (lambda: again("a ring", callback_on_step_end_tensor_inputs=["prompt_embeds"]), "not prompt_embeds"),
        (lambda: again("a ring", negative_prompt="a dog"), "negative_prompt does not go with a flow head"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
