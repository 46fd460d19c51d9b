"""The small SigLIP: an image tower and a text tower under the sigmoid contrastive loss (Zhai et al. 2023)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from janusflow.data.tokenizer import TextTokenizer
from janusflow.data.transforms import to_tensor
from janusflow.models.vision import VisionConfig, build_tower
from janusflow.parts.loop import fit
from janusflow.worlds.captions import long_caption, short_caption
from janusflow.worlds.scenes import World, sample_scene

FILE = "siglip.safetensors"
BATCH = 160
LONG_CAPTIONS = 0.75
TEXT_DEPTH = 2
MAX_TEXT = 96  # tokens


class TextTower(nn.Module):
    """A bidirectional transformer over text tokens, mean-pooled: (B, T) ids and mask -> (B, C)."""

    def __init__(self, vocab_size: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        self.positions = nn.Parameter(torch.randn(MAX_TEXT, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, num_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, TEXT_DEPTH, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids: (B, T); mask: (B, T), True at real tokens."""
        x = self.embed(ids) + self.positions[: ids.shape[1]]
        x = self.norm(self.blocks(x, src_key_padding_mask=~mask))
        pooled = (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return self.project(pooled)


class SigLIP(nn.Module):
    """Both towers with the loss's temperature and bias. Embeddings are unit vectors."""

    def __init__(self, config: VisionConfig, tokenizer: TextTokenizer) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.image: VisionTransformer = build_tower(config)
        self.text = TextTower(len(tokenizer), config.width, config.num_heads)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.bias = nn.Parameter(torch.tensor(-8.0))

    def embed_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, C), unit length, fp32."""
        return F.normalize(self.image(pixels).float(), dim=-1)

    def embed_texts(self, texts: list[str]) -> Tensor:
        """Texts -> (B, C), unit length, fp32. Texts over the tower's length are cut."""
        ids = [self.tokenizer.encode(text)[:MAX_TEXT] or [self.tokenizer.bos] for text in texts]
        length = max(map(len, ids))
        padded = torch.tensor([row + [self.tokenizer.pad] * (length - len(row)) for row in ids])
        mask = torch.tensor([[True] * len(row) + [False] * (length - len(row)) for row in ids])
        return F.normalize(self.text(padded, mask).float(), dim=-1)

    def loss(self, pixels: Tensor, texts: list[str]) -> Tensor:
        """Mean over images of the pairwise sigmoid loss; equal captions count as matches."""
        logits = self.log_scale.exp() * self.embed_images(pixels) @ self.embed_texts(texts).T + self.bias
        same = torch.tensor([[a == b for b in texts] for a in texts])
        return -F.logsigmoid(torch.where(same, logits, -logits)).sum(1).mean()


def save_siglip(model: SigLIP, folder: Path) -> None:
    """Write both towers as fp16 safetensors, with their sizes in the file's metadata."""
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / FILE, metadata={"vision": json.dumps(dataclasses.asdict(model.config))})


def load_siglip(folder: Path) -> SigLIP:
    """Read both towers with the tokenizer beside them. Raises ``ValueError`` with the path where that fails."""
    path = folder / FILE
    try:
        with safe_open(path, "pt") as file:
            config = VisionConfig(**json.loads(file.metadata()["vision"]))
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read the SigLIP towers {path}: {error}") from error
    model = SigLIP(config, TextTokenizer.from_file(folder / "tokenizer.json"))
    model.load_state_dict(weights)
    return model.eval()


def pairs(world: World, seed: int, first: int, count: int, size: int) -> tuple[Tensor, list[str]]:
    """Rendered training scenes with a caption each."""
    pixels, texts = [], []
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        scene = sample_scene(rng, world=world)
        pixels.append(to_tensor(scene.render(size)))
        texts.append(long_caption(scene, rng) if rng.random() < LONG_CAPTIONS else short_caption(scene, rng))
    return torch.stack(pixels), texts


def train_siglip(
    world: World, seed: int, config: VisionConfig, tokenizer: TextTokenizer, steps: int, state: Path
) -> tuple[SigLIP, dict[str, float]]:
    """Both towers, and the share of held-back images that find their own long caption among all of a batch."""
    torch.manual_seed(seed)
    model = SigLIP(config, tokenizer)
    fit(
        "siglip",
        model,
        lambda step: model.loss(*pairs(world, seed, step * BATCH, BATCH, config.image_size)),
        steps,
        lr=1e-3,
        state=state,
    )
    with torch.no_grad():
        pixels, texts = pairs(world, seed + 1, 0, BATCH, config.image_size)
        best = (model.embed_images(pixels) @ model.embed_texts(texts).T).argmax(1)
    return model, {"retrieval_at_1": sum(texts[int(j)] == texts[i] for i, j in enumerate(best)) / BATCH}
