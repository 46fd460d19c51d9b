"""A generation head of one's own: an image's latents at once, from learned queries. One pass, no noise, no steps.

    python train.py configs/shapes.yaml name=queries "model.head={kind: 'my_head:QueryHead'}" model.losses.repa.weight=0
    janusflow generate "a ring" --model runs/queries --option loud=0.5 --out out/

What it learns is the mean of all pictures that fit a prompt, which is blurred: why the other heads draw from noise.
What a method is to the rest of the model stands in ``janusflow/models/head.py``.

Legend: G images, N image tokens, D LLM hidden size, C latent channels, S latent side.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import nn

from janusflow.models.head import GenerationHead, HeadConfig
from janusflow.options import SamplingOptions, option

CHANNELS, PATCH = 4, 2  # of the VAE's latents; latent positions of a token, along a side


@dataclass
class QueryConfig(HeadConfig):
    """Its keys in YAML, beside ``kind``."""

    grid: int = 6  # tokens along one side of the image
    width: int = 64  # of the features that understanding could see with


@dataclass(frozen=True)
class QuerySampling(SamplingOptions):
    """What can be set when it draws: in YAML, by flags, in sweeps, on the page."""

    guidance: float = option(1.0, "unused: there is nothing to guide")
    loud: float = option(1.0, "factor of the latents", range=(0, 2, 0.1))


class QueryHead(GenerationHead):
    """Queries in the span; the latents are a linear layer over what the LLM makes of them."""

    Config, Options = QueryConfig, QuerySampling
    family, loss_name = "a query head", "query"  # in errors and protocols; in logs
    dropped, sees_all = "gap", True  # a dropped prompt leaves a gap; image positions see each other fully
    latent_dtype, codec_size = torch.float32, CHANNELS  # a VAE's latents
    patch = CHANNELS * PATCH**2

    def __init__(self, config, llm_size):
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(self.patch, config.width)
        self.queries = nn.Parameter(torch.randn(1, self.num_tokens, llm_size))
        self.out = nn.Linear(llm_size, self.patch)

    @property
    def latent_shape(self):
        return CHANNELS, PATCH * self.config.grid, PATCH * self.config.grid

    @property
    def feature_size(self):
        return self.config.width

    def features(self, latents, encoder):
        """Of clean latents, for models that understand with them: (G, N, width)."""
        return encoder(rearrange(latents, "g c (h p) (w q) -> g (h w) (c p q)", p=PATCH, q=PATCH))

    def prepare(self, latents, seeds, fixed=None):
        """What stands in the span while training, (G, N, D), and what the loss needs. Nothing here is random."""
        return self.queries.expand(len(latents), -1, -1), latents

    def loss(self, hidden, state, total=None, again=None):
        """Squared error of the latents, from the span's hidden states (G, 1 + N, D): the mean over ``total`` images."""
        images = max(len(state), 1) if total is None else total.clamp(min=1)
        elements = CHANNELS * (PATCH * self.config.grid) ** 2
        return (self.decode(hidden[:, 1:]) - state).float().square().sum() / (images * elements)

    def decode(self, hidden):
        """Hidden states (G, N, D) to latents (G, C, S, S)."""
        return rearrange(self.out(hidden), "g (h w) (c p q) -> g c (h p) (w q)", h=self.config.grid, p=PATCH, q=PATCH)

    def start(self, seeds, device):
        """What sampling starts from; here nothing of it is used."""
        return torch.zeros(len(seeds), *self.latent_shape, device=device)

    def sample(self, span, start, options, on_step=None, worse=None):
        """Run the span once behind the prompts: the last prompt token's embedding, then the queries."""
        queries = self.queries.expand(len(start), -1, -1)
        return options.loud * self.decode(span(torch.cat([span.begin[: len(start)], queries], dim=1))[:, 1:])

    def sample_bytes(self):
        """Next to nothing."""
        return self.num_tokens * self.patch * 4
