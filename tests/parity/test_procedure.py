"""The engine against the released sampler's procedure, step by step, at other lengths and sizes than the stored ones.

The procedure here takes nothing of ours but the generation encoder and decoder, which have stored outputs. The rest is
transformers' Llama with its own attention and two-dimensional masks, the prompt run again in every step, and Euler and
guidance in plain loops.
"""

import dataclasses

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from janusflow.inference.prompt_cache import PromptRunner
from janusflow.models.unified import UnifiedModel
from janusflow.options import FlowSampling


def plain_llama(config, weights):
    """transformers' Llama as it comes, filled with ``weights``."""
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            max_position_embeddings=config.max_positions,
            rms_norm_eps=config.rms_norm_eps,
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
    ).eval()
    llama.load_state_dict(weights)
    return llama


def released_procedure(llama, head, prompts, noise, steps, weight):
    """Guided Euler steps: conditional rows, then rows that see their first token only; one prompt at a time."""
    results = []
    for prompt, z in zip(prompts, noise.unsqueeze(1), strict=True):
        ids = torch.tensor([prompt[:-1]] * 2)  # the time embedding replaces the last token
        length = len(prompt) + head.num_tokens
        mask = torch.ones(2, length, dtype=torch.long)
        mask[1, 1 : len(prompt) - 1] = 0
        positions = torch.arange(length).repeat(2, 1)
        for step in range(steps):
            t = torch.full((1,), step / steps)
            features = head.encoder(z, t)
            tokens = head.encoder_aligner(features.map.flatten(2).transpose(1, 2))
            span = torch.cat([features.time[:, None], tokens], dim=1).repeat(2, 1, 1)
            hidden = llama.model(
                inputs_embeds=torch.cat([llama.model.embed_tokens(ids), span], dim=1),
                attention_mask=mask,
                position_ids=positions,
                use_cache=False,
            ).last_hidden_state[:, -head.num_tokens :]
            aligned = head.decoder_aligner(head.decoder_norm(hidden))
            side = head.config.grid
            grid = aligned.transpose(1, 2).unflatten(2, (side, side))
            v_cond, v_uncond = (head.decoder(half, *features) for half in grid.chunk(2))
            z = z + (weight * v_cond - (weight - 1) * v_uncond) / steps
        results.append(z)
    return torch.cat(results)


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [(2, 3), (5, 40), (128, 128)])
@pytest.mark.parametrize(("steps", "guidance", "layers", "kv_heads"), [(1, 1.0, 4, 1), (3, 7.5, 1, 2), (10, 2.0, 4, 1)])
def test_engine_equals_the_released_procedure(tiny_config, lengths, steps, guidance, layers, kv_heads):
    torch.manual_seed(layers)
    llm = dataclasses.replace(tiny_config.llm, num_layers=layers, num_kv_heads=kv_heads)
    model = UnifiedModel(dataclasses.replace(tiny_config, llm=llm)).eval()
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    prompts = [torch.randint(0, llm.vocab_size, (length,)).tolist() for length in lengths]
    noise = model.head.start([1, 2], torch.device("cpu"))

    dropped = None if guidance == 1 else [prompt[:1] for prompt in prompts]
    runner = PromptRunner(model.llm, prompts, 1 + model.head.num_tokens, dropped)
    ours = model.head.sample(runner, noise, FlowSampling(steps, guidance))
    llama = plain_llama(llm, model.llm.causal_lm.state_dict())
    theirs = released_procedure(llama, model.head, prompts, noise, steps, guidance)
    assert (theirs - noise).norm() > 0.1 * noise.norm(), "a model that moves nothing would prove nothing"
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()
