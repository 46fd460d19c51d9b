"""Every file of ``configs/`` says what the paper says, and runs at reduced size through the code that users call."""

import dataclasses
import json

import pytest
from PIL import Image

import train
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.config import load_config
from janusflow.flow import TimeConfig
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.models.unified import UnifiedModel
from janusflow.options import CodeSampling, FlowSampling
from janusflow.training.build import build_bundle
from janusflow.training.config import RunConfig
from janusflow.training.preflight import check_start
from janusflow.training.stages import taken
from janusflow.weights import SHIPPED
from tests.conftest import ROOT
from tests.data.conftest import picture, write_shard

CONFIGS = ROOT / "configs"
FAMILIES = ("janusflow_1b", "janus_1b", "janus_pro_1b", "janus_pro_7b")
BASES = (*(f"{family}/base.yaml" for family in FAMILIES), "janus_1b/base_imagenet.yaml")  # have no stages
RUNNABLE = sorted(path for path in (str(p.relative_to(CONFIGS)) for p in CONFIGS.rglob("*.yaml")) if path not in BASES)
SIZES = (
    *("data.image_size=48", "data.max_length=256", "data.workers=0", "data.held_out=0"),
    "model.llm={vocab_size: 640, hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 2}",
    "model.llm.max_positions=256",
    "model.vision={image_size: 48, patch_size: 8, width: 24, depth: 1, num_heads: 2}",
    *("parts.llm=null", "parts.vision=null", "parts.run=null", "parts.tokenizer=shapes/tokenizer.json"),
    *("parts.vae=shapes/vae", "parts.vq=shapes/vq", "report.tasks=[]", "preview.images=1", "preview.prompts=[]"),
    *("trainer.precision=32-true", "trainer.accumulate=1", "trainer.compile=false"),  # another test compiles
)
FLOW = ("model.head={latent_size: 12, width: 16, encoder_blocks: 1, decoder_blocks: 1}", "preview.sampling.steps=1")
CODES = ("model.head={grid: 6, codebook_size: 2048, head_width: 16}",)
REPA = ("model.losses.repa={block: 1, hidden_size: 16}",)
STAGE = ("steps=1", "batch_size=8", "warmup_steps=1")
# One file of each kind of model and data; what the others would open is checked.
TRAINED_HERE = (
    *("ablations/b.yaml", "ablations/c.yaml", "ablations/d.yaml", "finetune.yaml", "real_small.yaml"),
    *("janus_1b/single_encoder.yaml", "janus_pro_1b/stage2.yaml", "janusflow_1b/stage3.yaml"),
)


def config(name):
    return load_config(RunConfig, CONFIGS / name)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A little of every kind of data, and the overrides that put it in the place of a configuration's."""
    monkeypatch.setattr("janusflow.data.readers.files.CONTENTS", tmp_path / "contents")
    images = tmp_path / "photos"
    images.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 50), colour).save(images / f"{colour}.png")
    lines = [{"file": f"{c}.png", "captions": [f"a {c} picture"]} for c in ("red", "green", "blue")]
    (images / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    turns = [{"from": "human", "value": "<image>\ncolour?"}, {"from": "gpt", "value": "red"}]
    (tmp_path / "talks.json").write_text(json.dumps([{"image": "red.png", "conversations": turns}]))
    (tmp_path / "documents.jsonl").write_text(json.dumps({"images": ["red.png", None], "texts": [None, "it is red"]}))
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": "a ring has a hole."}) + "\n")
    write_shard(tmp_path / "0.tar", {"0.png": picture("red", (64, 64)), "0.txt": b"a red picture"})
    paths = {
        "webdataset": {"path": tmp_path / "0.tar", "min_side": 0},
        "folder": {"path": images},
        "conversations": {"path": tmp_path / "talks.json", "images": images},
        "documents": {"path": tmp_path / "documents.jsonl", "images": images},
        "text": {"path": tmp_path / "text.jsonl"},
        "pairs": {"path": tmp_path},
    }

    def replace(found):
        return [
            f"data.sources.{name}.{key}={value}"
            for name, source in found.data.sources.items()
            for key, value in paths.get(source.kind, {}).items()
        ]

    return replace


def reduced(found):
    """The overrides that make a configuration's model small."""
    return [*SIZES, *(FLOW if found.model.head.kind == "flow" else CODES), *REPA * ("repa" in found.model.used_losses)]


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_configuration_runs_at_reduced_size(name, sources, tmp_path):
    found = config(name)
    overrides = [*reduced(found), *sources(found), f"out={tmp_path}"]
    overrides += [f"stages.{stage}.{value}" for stage in found.stages for value in STAGE]
    if found.parts.checkpoint is not None:
        overrides.append(
            f"parts.checkpoint={SHIPPED['shapes-flow' if found.model.head.kind == 'flow' else 'shapes-ar']}"
        )
    overrides += [
        f"stages.{stage}.rollout.prompts={{kind: world}}" for stage, one in found.stages.items() if one.rollout
    ]
    if name not in TRAINED_HERE:
        check_start(load_config(RunConfig, CONFIGS / name, overrides))
        return
    assert train.main([str(CONFIGS / name), *overrides]) == 0
    model = load_pretrained(tmp_path / found.name).model
    assert (model.config.head.kind, model.config.und_encoder) == (found.model.head.kind, found.model.und_encoder)
    assert (tmp_path / found.name / "checkpoints" / f"{list(found.stages)[-1]}-000001" / "state.json").exists()


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        (["data.sources.conversations.weight=0"], "photos: 3 for understanding, generation, text, reconstruction\n"),
        (
            [
                "~data.sources.photos",
                "data.sources.conversations.path=talks.json",
                "stages.finetune.ratios=[{understanding: 1}]",
                "preview.examples=0",
            ],
            "conversations: 1 for understanding\n",
        ),
    ],
)
def test_fine_tuning_with_captions_or_conversations_alone(changes, used, sources, tmp_path, monkeypatch, capsys):
    """The other source is not there, and is not looked for."""
    monkeypatch.chdir(tmp_path)
    tiny = load_config(RunConfig, CONFIGS / "shapes.yaml", [*SIZES, *FLOW, "model.losses.repa.weight=0"])
    save_pretrained(build_bundle(tiny), "checkpoint")
    overrides = [*SIZES, *FLOW, *(f"stages.finetune.{value}" for value in STAGE), "parts.checkpoint=checkpoint"]
    assert train.main([str(CONFIGS / "finetune.yaml"), *overrides, *changes]) == 0
    assert f"source   {used}" in capsys.readouterr().out
    assert (tmp_path / "runs" / "finetune" / "model" / "config.json").exists()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs/results").glob("*/config.yaml")), ids=lambda path: path.parent.name
)
def test_configurations_of_results_still_load(path):
    assert load_config(RunConfig, path).stages


@pytest.mark.parametrize("family", FAMILIES)
def test_chained_stages_see_other_samples(family):
    chain = [config(path) for path in RUNNABLE if path.startswith(f"{family}/stage")]
    assert len({found.seed for found in chain}) == len(chain)
    assert sum(found.parts.run is None for found in chain) == 1
    names = {f"runs/{found.name}" for found in chain}
    assert all(found.parts.run in names for found in chain if found.parts.run is not None)


# JanusFlow Table 1: rate, warm-up, steps, batch, mixture (understanding : generation : text).
TABLE_1 = {
    "stage1": (1e-4, 2_000, 10_000, 512, [(50, 50, 0, None)]),
    "stage2": (1e-4, 2_000, 380_000, 512, [(30, 50, 20, 10_000), (14, 80, 6, None)]),
    "stage3": (2e-5, 1_000, 26_000, 256, [(21, 70, 9, None)]),
}
TRAINED = {
    "stage1": {"understanding", "generation", "repa"},
    "stage2": {"llm", "understanding", "generation", "repa"},
    "stage3": {"llm", "siglip", "understanding", "generation", "repa"},
}


@pytest.mark.parametrize("name", TABLE_1)
def test_stages_are_the_papers(name):
    found = config(f"janusflow_1b/{name}.yaml")
    (stage,) = found.stages.values()
    ratios = [(r.understanding, r.generation, r.text, r.until) for r in stage.ratios]
    assert (stage.lr, stage.warmup_steps, stage.steps, stage.batch_size, ratios) == TABLE_1[name]
    assert set(stage.train) == TRAINED[name] and stage.decay_fraction == 0
    assert stage.instruction == (name == "stage3") and stage.first_sentence == 0.25
    optim = found.optim
    assert (optim.algorithm, optim.beta1, optim.beta2, optim.weight_decay) == ("adamw", 0.9, 0.95, 0.0)
    assert (optim.gradient_clip, found.data.prompt_drop, found.data.image_size) == (1.0, 0.1, 384)
    assert (found.model.losses["repa"].block, found.model.llm.num_layers) == (6, 24)
    assert found.sampling["guidance"] == FlowSampling().guidance, "what the trained model draws with"


# Table 5: REPA, what understands, what trains, steps.
TABLE_5 = {
    "a": (False, "siglip", 50_000, {"understanding", "generation", "text"}),
    "b": (True, "shared", 50_000, {"understanding", "generation", "text"}),
    "c": (True, "separate", 50_000, {"understanding", "generation", "text"}),
    "d": (False, "siglip", 13_000, {"understanding", "text"}),
    "e": (True, "siglip", 37_000, {"generation"}),
    "f": (True, "siglip", 50_000, {"understanding", "generation", "text"}),
}


@pytest.mark.parametrize("name", TABLE_5)
def test_ablations_are_the_papers(name):
    found = config(f"ablations/{name}.yaml")
    (stage,) = found.stages.values()
    tasks = {task for ratio in stage.ratios for task in ("understanding", "generation", "text") if getattr(ratio, task)}
    assert ("repa" in found.model.used_losses, found.model.und_encoder, stage.steps, tasks) == TABLE_5[name]
    assert found.data.image_size == 256 and found.model.head.latent_size == 32


@pytest.mark.parametrize("folder", ["ablations", "ablations_shapes"])
def test_single_task_ablations_see_as_much_of_their_data_as_the_unified_model(folder):
    unified, und, gen = (next(iter(config(f"{folder}/{name}.yaml").stages.values())) for name in "fde")
    seen = [sum(counts) for counts in zip(*(taken(stage, stage.steps) for stage in (und, gen)), strict=True)]
    for one, other in zip(seen, taken(unified, unified.steps), strict=True):
        assert one == pytest.approx(other, rel=0.01)


# Janus, Table 1, and Janus-Pro, Table 2: rate, decay, warm-up, steps, batch, weight decay, und : text : gen.
JANUS_TABLES = {
    "janus_1b/stage1": (1e-3, "cosine", 300, 10_000, 256, 0.0, (1, 0, 1)),
    "janus_1b/stage2_imagenet": (1e-4, None, 5_000, 120_000, 512, 0.0, (2, 3, 5)),
    "janus_1b/stage2": (1e-4, None, 0, 60_000, 512, 0.0, (2, 3, 5)),
    "janus_1b/stage3": (2e-5, None, 0, 24_000, 256, 0.1, (7, 3, 10)),
    "janus_pro_1b/stage1": (1e-3, None, 600, 20_000, 256, 0.0, (1, 0, 3)),
    "janus_pro_1b/stage2": (1e-4, None, 5_000, 360_000, 512, 0.0, (2, 3, 5)),
    "janus_pro_1b/stage3": (4e-5, None, 0, 80_000, 128, 0.0, (5, 1, 4)),
    "janus_pro_7b/stage1": (1e-3, None, 600, 20_000, 256, 0.0, (1, 0, 3)),
    "janus_pro_7b/stage2": (1e-4, None, 5_000, 360_000, 512, 0.0, (2, 3, 5)),
    "janus_pro_7b/stage3": (4e-5, None, 0, 40_000, 128, 0.0, (5, 1, 4)),
}


def row(stage, optim):
    """A stage as the papers' tables write it."""
    (ratio,) = stage.ratios
    decay = stage.decay if stage.decay_fraction == 1 else None if stage.decay_fraction == 0 else "other"
    weight_decay = optim.weight_decay if stage.weight_decay is None else stage.weight_decay
    mixture = (ratio.understanding, ratio.text, ratio.generation)
    return stage.lr, decay, stage.warmup_steps, stage.steps, stage.batch_size, weight_decay, mixture


@pytest.mark.parametrize("name", JANUS_TABLES)
def test_stages_are_those_of_janus_and_janus_pro(name):
    found = config(f"{name}.yaml")
    (stage,) = found.stages.values()
    assert row(stage, found.optim) == JANUS_TABLES[name]
    parts = {"understanding", "generation"}
    parts |= {"llm"} if "stage1" not in name else set()
    parts |= {"siglip"} if "stage3" in name else set()
    assert set(stage.train) == parts and stage.instruction == ("stage3" in name)
    optim, model, large = found.optim, found.model, "7b" in name
    assert (optim.algorithm, optim.beta1, optim.beta2, optim.gradient_clip) == ("adamw", 0.9, 0.95, 1.0)
    assert (model.head.kind, [*model.used_losses], model.und_encoder) == ("ar", ["ar", "image"], "siglip")
    assert (model.head.codebook_size, model.head.grid, model.vision.aligner_depth) == (16_384, 24, 2)
    assert not model.vision.begin_embed
    width, layers = (4096, 30) if large else (2048, 24)
    assert (model.llm.hidden_size, model.llm.num_layers, model.head.head_width) == (width, layers, width)
    assert found.chat.user == ("<|User|>" if "pro" in name else "User")
    assert found.parts.vq == "deepseek-ai/Janus-1.3B", "the one that is released as safetensors"
    assert found.sampling["guidance"] == CodeSampling().guidance, "what the trained model draws with"


def test_the_single_encoder_ablation_has_januss_stages():
    stages = config("janus_1b/single_encoder.yaml").stages
    stage_2 = JANUS_TABLES["janus_1b/stage2_imagenet"]
    expected = [JANUS_TABLES["janus_1b/stage1"], (*stage_2[:3], 180_000, *stage_2[4:]), JANUS_TABLES["janus_1b/stage3"]]
    optim = config("janus_1b/single_encoder.yaml").optim
    assert [row(stage, optim) for stage in stages.values()] == expected
    assert config("janus_1b/single_encoder.yaml").model.und_encoder == "shared"


@pytest.mark.parametrize(("flow", "codes"), [("shapes", "shapes_ar"), ("shapes_long", "shapes_ar_long")])
def test_the_two_heads_differ_in_nothing_else(flow, codes):
    """One backbone, data, stages and optimizer: the head differs, and REPA, which is a part of the flow model."""
    one, other = config(f"{flow}.yaml"), config(f"{codes}.yaml")
    for part in ("llm", "vision", "und_encoder"):
        assert getattr(one.model, part) == getattr(other.model, part)
    for part in ("seed", "parts", "chat", "data", "optim", "trainer", "sampling", "preview", "report"):
        assert getattr(one, part) == getattr(other, part), part
    for a, b in zip(one.stages.values(), other.stages.values(), strict=True):
        assert set(a.train) - set(b.train) == {"repa"}
        assert dataclasses.replace(a, train=b.train) == b
    assert other.model.head.grid == one.model.head.grid


@pytest.mark.parametrize("name", ["shapes_reflow.yaml", "janusflow_1b/reflow.yaml"])
def test_a_run_trains_on_the_times_that_it_names(name):
    found = FlowHeadConfig(time=TimeConfig(mean=0.7))
    assert config(name).model.head.over(found).time.distribution == "uniform"
    assert FlowHeadConfig().over(found).time == found.time, "what is not named stays the checkpoint's"


@pytest.mark.parametrize("loss", ["{kind: image}", "{kind: meanflow}"])
def test_no_loss_of_pictures_meets_those_that_are_drawn(loss):
    overrides = [f"model.losses.mine={loss}", "model.head.average=true"]
    with pytest.raises(ValueError, match="the loss mine learns from pictures of the data"):
        load_config(RunConfig, CONFIGS / "shapes_flow_grpo.yaml", overrides)


@pytest.mark.parametrize(
    ("guidance", "message"),
    [((2, 1), "sampling: this model has learnt"), ((1, 2), "rollout: this model has learnt"), ((1, 1), None)],
)
def test_sampling_is_checked_against_the_checkpoints_head(flow_bundle, tmp_path, guidance, message):
    sizes = flow_bundle.model.config
    model = UnifiedModel(dataclasses.replace(sizes, head=dataclasses.replace(sizes.head, guided=True)))
    save_pretrained(dataclasses.replace(flow_bundle, model=model, sampling={"guidance": 1.0}), tmp_path / "model")
    overrides = [f"parts.checkpoint={tmp_path / 'model'}", f"out={tmp_path}", "data.image_size=16"]
    overrides += [f"sampling.guidance={guidance[0]}", f"stages.flow_grpo.rollout.sampling.guidance={guidance[1]}"]
    run = load_config(RunConfig, CONFIGS / "shapes_flow_grpo.yaml", overrides)
    if message is None:
        check_start(run)
        del run.sampling["guidance"]  # the checkpoint's own then
        check_start(run)
    else:
        with pytest.raises(ValueError, match=message):
            check_start(run)
