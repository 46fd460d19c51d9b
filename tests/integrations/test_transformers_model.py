"""transformers' Auto classes over an exported folder, by the module in it."""

import pytest
import torch
from transformers import AutoConfig, AutoModel, dynamic_module_utils

from janusflow.integrations.transformers_model import JanusFlowModel
from janusflow.pipeline import Pipeline


@pytest.fixture
def folder(flow_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    Pipeline(**vars(flow_bundle)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_auto_model_is_our_model(folder, flow_bundle, tmp_path):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert config.model_type == "janusflow" and config.model["llm"]["hidden_size"] == 32
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    assert len((folder / "modeling_janusflow.py").read_text().splitlines()) == 3 and not model.training
    ours = Pipeline(**vars(flow_bundle))
    (theirs,), (mine,) = (one.generate("a ring", seed=2, steps=2) for one in (model, ours))
    assert theirs.tobytes() == mine.tobytes()
    assert model.ask(mine, "what is it?", max_new_tokens=3) == ours.ask(mine, "what is it?", max_new_tokens=3)
    projector = sum(p.numel() for name, p in ours.model.named_parameters() if name.startswith(ours.model.training_only))
    assert model.num_parameters() == sum(p.numel() for p in ours.model.parameters()) - projector
    model.save_pretrained(tmp_path / "again")
    assert Pipeline.from_pretrained(tmp_path / "again").digest == Pipeline.from_pretrained(folder).digest


def test_types_and_devices(folder):
    model = AutoModel.from_pretrained(folder, trust_remote_code=True, dtype=torch.bfloat16, device_map="cpu")
    assert model.dtype == torch.bfloat16 and model.pipeline.codec.dtype == torch.float32
    assert model.half().dtype == torch.float16 and model.pipeline.codec.dtype == torch.float32
    model.to("meta")
    assert {model.device.type, model.pipeline.codec.device.type, model.pipeline.model.llm.device.type} == {"meta"}
    for given, message in (
        ({"load_in_8bit": True}, "not loaded with load_in_8bit=True"),
        ({"device_map": {"": 0}}, "lies on one device"),
        ({"trust_remote_code": False}, "trust_remote_code"),
    ):
        with pytest.raises(ValueError, match=message):
            AutoModel.from_pretrained(folder, **{"trust_remote_code": True, **given})
    with pytest.raises(ValueError, match="a type of torch or auto, got 'bfloat'"):
        JanusFlowModel.from_pretrained(folder, dtype="bfloat")
