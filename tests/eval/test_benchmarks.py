"""The real prompt files through ``python -m eval run``, from a model's pictures or answers to the scores, offline."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from eval.__main__ import main
from tests.conftest import SHARED

PROMPTS = SHARED / "data" / "prompts"
PHOTOS = SHARED / "data" / "coco111" / "img"
pytestmark = pytest.mark.skipif(not PROMPTS.exists(), reason="the benchmarks' prompt files are not here")


def result_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


@pytest.fixture
def geneval(models, detector_folder, clip_folder, tmp_path) -> list[str]:
    """The command for three of GenEval's prompts with small random judges, without --out and what is scored."""
    data, judges = ["--data", str(PROMPTS / "geneval.jsonl")], ["--detector", str(detector_folder)]
    judges += ["--color-model", str(clip_folder), "--detector-edge", "64"]
    return ["run", "geneval", *data, *judges, "--limit", "3", "--batch-size", "4"]


def test_geneval_from_a_models_pictures(geneval, models, tmp_path, capsys):
    out = tmp_path / "out"
    command = [*geneval, "--out", str(out), "--model", str(models / "flow"), "--steps", "1"]
    assert main(command) == 0
    result = result_of(out)
    tags = {item["tag"]: item["path"] for item in result["items"]}
    assert len(result["items"]) == 12 and len(tags) == 3, "a prompt of every tag, from the first on"
    assert [item["path"] for item in result["items"]][:4] == [f"00000/samples/{n:05}.png" for n in range(4)]
    metadata = json.loads((out / "pictures" / "00000" / "metadata.jsonl").read_text())
    assert metadata == json.loads((PROMPTS / "geneval.jsonl").read_text().split("\n")[0])
    assert result["title"].startswith("GenEval (HF detector), ") and set(result["problems"]) >= {"limited"}
    assert result["scores"]["single_object"] is not None and result["scores"]["overall"] is None
    assert len(result["protocol"]["judge"]["detector"]["sha256"]) == 12

    elsewhere = tmp_path / "elsewhere"
    assert main([*geneval, "--out", str(elsewhere), "--images", str(out / "pictures")]) == 0
    assert result_of(elsewhere)["scores"] == result["scores"]


def test_dpg_bench_from_a_models_pictures(blip_folder, tmp_path):
    by_length = sorted(json.loads((PROMPTS / "dpg_prompts.json").read_text()), key=lambda one: len(one["prompt"]))
    prompts = [*by_length[:2], by_length[-1]]  # the last is longer than the small model takes
    data = tmp_path / "dpg"
    data.mkdir()
    columns = ["item_id", "text", "keywords", "proposition_id", "dependency", "category_broad", "category_detailed"]
    with (data / "dpg_bench.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*columns, "tuple", "question_natural_language"])
        for index, prompt in enumerate(prompts):
            row = [f"item{index}", prompt["prompt"], ""]
            table.writerow([*row, 1, 0, "entity", "whole", "entity - whole (bottle)", "Is there a bottle?"])
            table.writerow([*row, 2, 1, "attribute", "color", "attribute - color (brown)", "Is it brown?"])
    out = tmp_path / "out"
    judge = ["--judge", "transformers", "--judge-model", str(blip_folder), "--protocol", "corrected"]
    command = ["run", "dpg-bench", "--data", str(data), *judge, "--out", str(out)]
    assert main([*command, "--steps", "1"]) == 1  # the shipped model
    result = result_of(out)
    assert Image.open(out / "pictures" / "item1.png").size == (96, 96)  # 2 x 2 pictures of 48 pixels
    assert [line.split(":")[0] for line in result["problems"]["undrawable"]] == ["item2"]
    assert not result["complete"] and 0 <= result["scores"]["overall"] <= 100
    assert len(result["items"][0]["verdict"]["answers"]) == 4 and result["protocol"]["pic_num"] == 4
    assert "corrected protocol" in result["title"] and result["columns"] == {}


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photographs are not here")
def test_pope_from_a_models_answers(models, tmp_path):
    data, photo = tmp_path / "pope", next(iter(sorted(PHOTOS.iterdir())))
    (data / "val2014").mkdir(parents=True)
    for split in ("random", "popular", "adversarial"):
        lines = (PROMPTS / f"coco_pope_{split}.jsonl").read_text().split("\n")[:4]
        (data / f"coco_pope_{split}.json").write_text("\n".join(lines) + "\n")
        for line in lines:
            (data / "val2014" / json.loads(line)["image"]).write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    assert main(["run", "pope", "--data", str(data), "--model", str(models / "flow"), "--out", str(out)]) == 0
    result = result_of(out)
    assert len(result["items"]) == 12 and result["complete"]
    assert result["title"].endswith(", 12 of 9000 items") and result["columns"] == {}
    assert result["items"][0]["question"].endswith("?\nAnswer the question using a single word or phrase.")
    assert result["provenance"]["model"]["chat"]["system"] == "" and result["scores"]["random accuracy"] is not None
    assert "sampling" not in result["provenance"]["model"]


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photographs are not here")
def test_fid_and_clip_score_from_a_models_pictures(models, clip_folder, tmp_path):
    photos = sorted(PHOTOS.iterdir())[:12]
    data = tmp_path / "mjhq"
    for number, photo in enumerate(photos):
        category = ("animals", "food")[number % 2]
        (data / "mjhq30k_imgs" / category).mkdir(parents=True, exist_ok=True)
        (data / "mjhq30k_imgs" / category / f"{photo.stem}.jpg").write_bytes(photo.read_bytes())
    prompts = {
        photo.stem: {"category": ("animals", "food")[number % 2], "prompt": f"photo {number}"}
        for number, photo in enumerate(photos)
    }
    (data / "meta_data.json").write_text(json.dumps(prompts))
    out = tmp_path / "out"
    stand_in = ["--extractor", "shapes", "--reference-cache", str(tmp_path / "cache")]
    command = ["run", "mjhq-fid", "--data", str(data), *stand_in, "--out", str(out), "--model", str(models / "flow")]
    assert main([*command, "--steps", "1", "--batch-size", "5"]) == 0
    result = result_of(out)
    assert result["complete"] and result["headline"].startswith("MJHQ Fréchet distance (shapes features, not FID)")
    assert result["scores"][result["headline"]] > 0
    assert not any("FID" in name and "not FID" not in name for name in result["scores"])

    judge = ["--prompts", str(data / "meta_data.json"), "--clip", str(clip_folder)]
    pictures = ["--images", str(out / "pictures"), "--out", str(tmp_path / "clip")]
    assert main(["run", "clip-score", *judge, *pictures]) == 0
    result = result_of(tmp_path / "clip")
    assert -100 <= result["scores"]["CLIP score"] <= 100 and len(result["items"]) == 12
    assert result["title"].endswith("captions of meta_data.json, 12 captions") and result["columns"] == {}
    assert result["provenance"]["drawn_by"]["sampling"]["steps"] == 1
