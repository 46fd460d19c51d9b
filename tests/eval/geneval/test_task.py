"""GenEval from prompt file to scores, with the real classes of tiny models."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from eval.clip import CLIP
from eval.geneval.detector import CLASSES, DETECTOR, Detector, geometry_of, read_out
from eval.geneval.layout import find_samples, index_of, sample_id, sample_path, write_metadata
from eval.geneval.score import COLORS, MIN_SCORE, Detection
from eval.geneval.task import GenEval, GenEvalOptions, read_prompts
from eval.task import Drawing

PROMPTS = [
    {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"},
    {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}], "prompt": "a photo of a red dog"},
]


@pytest.fixture
def task(tmp_path, detector_folder, clip_folder):
    path = tmp_path / "evaluation_metadata.jsonl"
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in PROMPTS))
    return GenEval(
        GenEvalOptions(str(tmp_path), detector=str(detector_folder), detector_edge=64, color_model=str(clip_folder))
    )


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8))


def test_four_pictures_a_prompt_with_seeds_that_count_up(task):
    work = task.prepare().check()
    assert len(work.drawings) == 8
    assert work.drawings[6] == Drawing("00001/2", "a photo of a red dog", (2,), "00001/samples/00002.png")
    assert task.prepare(limit=1).drawings == work.drawings[:4]
    assert work.protocol["prompts"] == "original" and len(work.protocol["prompt file"]) == 12


def test_layout_is_written_and_found_again_and_a_limit_keeps_what_its_own_prompts_lack(task, tmp_path, picture):
    work, folder = task.prepare(), tmp_path / "pictures"
    folder.mkdir()
    task.write_layout(folder, work)
    for drawing in work.drawings[1:]:
        picture.save(folder / drawing.path)
    found = task.find_pictures(folder, work)
    assert found.drawings == work.drawings
    assert found.problems == {"missing": ["00000/0"]} and work.problems == {}
    for prompt in ("00000", "00001"):
        (folder / prompt / "metadata.jsonl").unlink()
    found = task.find_pictures(folder, work).only(task.prepare(limit=1))
    assert found.problems == {"missing": ["00000/metadata.jsonl", "00000/0"]}


def test_judge_and_score_run_end_to_end(task, picture, monkeypatch):
    monkeypatch.setattr("eval.geneval.task.MIN_SCORE", 0.0)  # a random detector is sure of nothing
    work = task.prepare()
    judge = task.load_judge()
    (judged,) = judge.judge(work.drawings[:1], [picture])
    assert json.loads(json.dumps(judged.record)) == judged.record
    assert judged.record["detections"]
    for found in judged.record["detections"]:
        x0, y0, x1, y1 = found["box"]
        assert 0 <= x0 < x1 <= 48 and 0 <= y0 < y1 <= 40 and found["label"] in CLASSES
    assert judge.judge(work.drawings[:2], [picture, picture])[1] == judged  # others do not matter


def test_colours_are_asked_of_judged_objects_alone(task, picture, monkeypatch):
    judge = task.load_judge()
    mask = np.ones((40, 48), bool)
    dog = Detection("dog", 0.9, (0.0, 0.0, 48.0, 40.0))
    found = [(dog, mask), (dog._replace(score=0.8), mask), (dog._replace(label="cat", score=0.7), mask)]
    found = [type("Found", (), {"detection": one, "mask": its}) for one, its in found]
    monkeypatch.setattr(judge.detector, "detect", lambda image, least: found if least == MIN_SCORE else [])
    work = task.prepare()
    plain, colored = judge.judge([work.drawings[0], work.drawings[4]], [picture] * 2)
    assert [one["color"] for one in plain.record["detections"]] == [None] * 3
    colors = [one["color"] for one in colored.record["detections"]]
    assert colors[0] in COLORS and colors[1:] == [None, None]
    scored = task.score(work, {"00000/0": plain, "00001/0": colored}, {})
    assert scored.items["00000/0"]["correct"]
    assert scored.items["00001/0"]["correct"] == (colors[0] == "red")


def test_detector_reads_its_model_in_the_pictures_own_geometry(detector_folder, picture):
    detector = Detector(detector_folder, short_edge=60)
    geometry = geometry_of(40, 48, 60)
    assert geometry == ((40, 48), (60, 72), (64, 96))
    pixels = detector._pixels(picture, geometry)
    assert pixels.shape == (1, 3, 64, 96)
    assert (pixels[..., 60:, :] == 0).all() and (pixels[..., 72:] == 0).all()
    with torch.inference_mode():
        output = detector.model(pixel_values=pixels)
    expected = read_out(output.class_queries_logits[0], output.masks_queries_logits[0], geometry)
    found = detector.detect(picture)
    assert [one.detection for one in found] == [one.detection for one in expected]
    assert found and all(one.mask.shape == (40, 48) for one in found)
    # a square picture of the input's own size: one bilinear step, the same as transformers' own
    detector = Detector(detector_folder, short_edge=64)
    square = picture.resize((64, 64))
    with torch.inference_mode():
        output = detector.model(pixel_values=detector._pixels(square, geometry_of(64, 64, 64)))
    big = torch.nn.functional.interpolate(output.masks_queries_logits, (64, 64), mode="bilinear")[0] > 0
    masks = {mask.numpy().tobytes() for mask in big if mask.any()}
    assert {one.mask.tobytes() for one in detector.detect(square)} == masks


def test_judges_are_named_by_hash_and_another_is_what_departs(task, detector_folder, clip_folder, tmp_path):
    protocol = task.judge_protocol()
    assert len(protocol["detector"]["sha256"]) == len(protocol["colours"]["sha256"]) == 12
    assert protocol["detector's input"] == "shorter edge 64, longer at most 107"
    assert task.departures(protocol) == [detector_folder.name, clip_folder.name, "64 px"]
    copy = shutil.copytree(detector_folder, tmp_path / DETECTOR.split("/")[1].upper())
    others = GenEval(GenEvalOptions(task.given.data, detector=str(copy), color_model=str(clip_folder)))
    assert others.departures(others.judge_protocol()) == [clip_folder.name], "a folder that is called like the detector"


def test_other_models_and_prompt_files_are_refused(detector_folder, clip_folder, tmp_path):
    def read(text):
        (tmp_path / "geneval.jsonl").write_text(text)
        return read_prompts(tmp_path / "geneval.jsonl")

    one = '{"tag": "colors", "prompt": "a", "include": [{"class": "dog", "count": 1}]}'
    for call, message in (
        (lambda: Detector(clip_folder), "not a mask2former"),
        (lambda: CLIP(detector_folder), "not a clip"),
        (lambda: GenEval(GenEvalOptions(detector=str(tmp_path / "none"))).judge_protocol(), "there is no model folder"),
        (lambda: GenEval(GenEvalOptions()).prepare(), "geneval needs --data: prompts: https://github"),
        (lambda: read("[]"), "prompt 1: this is no prompt"),
        (lambda: read(one.replace("colors", "x")), "unknown GenEval tag 'x'"),
        (lambda: read(one.replace("dog", "mouse")), "knows no class 'mouse'"),
        (lambda: read(""), "holds no prompts"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# --- its folders ---

THREE = [
    {"tag": "single_object", "include": [{"class": name, "count": 1}], "prompt": f"a photo of a {name}"}
    for name in ("dog", "cat", "bus")
]
DRAWINGS = [Drawing(sample_id(i, k), THREE[i]["prompt"], (k,), sample_path(i, k)) for i in range(3) for k in range(4)]


@pytest.fixture
def complete(tmp_path):
    """A complete folder."""
    write_metadata(tmp_path, THREE, range(3))
    for drawing in DRAWINGS:
        (tmp_path / drawing.path).write_bytes(b"")
    return tmp_path


METADATA = "00002/metadata.jsonl"
MORE = json.dumps({"extra": 1, "exclude": [], **dict(reversed(THREE[2].items()))})  # in another order


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (lambda folder: None, {}),
        (lambda folder: (folder / "00001").rename(folder.parent / "away"),
         {"missing": [f"00001/{k}" for k in range(4)]}),
        (lambda folder: (folder / sample_path(1, 2)).unlink(), {"missing": ["00001/2"]}),
        (lambda folder: (folder / sample_path(1, 4)).touch(), {"unexpected": ["00001/samples/00004.png"]}),
        (lambda folder: (folder / "00001/samples/0.png").touch(), {"unexpected": ["00001/samples/0.png"]}),
        (lambda folder: (folder / "00000/samples/grid.png").touch(), {"unexpected": ["00000/samples/grid.png"]}),
        (lambda folder: [(folder / name).mkdir() for name in ("00003", "notes")], {"unexpected": ["00003", "notes"]}),
        (lambda folder: (folder / METADATA).write_text(json.dumps(THREE[0])), {"contradiction": [METADATA]}),
        (lambda folder: (folder / METADATA).write_text(MORE), {}),
        (lambda folder: (folder / METADATA).unlink(), {"missing": [METADATA]}),
        (lambda folder: (folder / METADATA).write_text("{"), {"damaged": [METADATA]}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder_is_named_and_all_stays_wanted(complete, change, problems):
    change(complete)
    assert find_samples(complete, THREE, DRAWINGS) == (DRAWINGS, problems)


def test_paths_numbers_and_limits(complete):
    assert sample_path(7, 2) == "00007/samples/00002.png" and index_of(sample_id(552, 3)) == 552
    text = (complete / "00001" / "metadata.jsonl").read_text()
    assert text.endswith("\n") and json.loads(text) == THREE[1]
    assert find_samples(complete, THREE, DRAWINGS[:4]) == (DRAWINGS[:4], {}), "folders beyond a limit are expected"
    for number in (3, 2, 1, 0):  # pictures numbered in another way are taken in order
        (complete / sample_path(1, number)).rename(complete / f"00001/samples/{number + 1}.png")
    drawings, problems = find_samples(complete, THREE, DRAWINGS)
    assert not problems
    assert [drawing.path for drawing in drawings[4:8]] == [f"00001/samples/{number}.png" for number in (1, 2, 3, 4)]
