"""The tasks of FID on small copies of MJHQ and COCO, with a stand-in for Inception."""

import json

import numpy as np
import pytest
import torch
from cleanfid.fid import get_folder_features
from PIL import Image
from scipy import linalg

from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.kid import kid_of_subsets
from eval.features.precision_recall import precision_recall
from eval.features.resizing import bicubic, gigagan
from eval.fid.score import Naming, short_count
from eval.fid.task import COCO, MJHQ, FidOptions
from eval.runner import RunOptions, run
from eval.task import Drawing, Judged
from janusflow.pictures import read_image
from tests.eval.pictures import picture, stand_in, write_pictures

KINDS = ("art", "food", "logo")
STEMS = {f"{kind}{index:02d}": kind for kind in KINDS for index in range(10)}


@pytest.fixture(scope="module")
def mjhq(tmp_path_factory):
    """30 prompts and pictures of three categories."""
    folder = tmp_path_factory.mktemp("mjhq")
    meta = {stem: {"category": kind, "prompt": f"a {stem}"} for stem, kind in STEMS.items()}
    (folder / "meta_data.json").write_text(json.dumps(meta))
    write_pictures(folder / "mjhq30k_imgs", [f"{kind}/{stem}.png" for stem, kind in STEMS.items()])
    return folder


@pytest.fixture
def task(mjhq, tmp_path):
    def build(kind=MJHQ, data=mjhq, **values):
        values = {"extractor": str(stand_in(tmp_path)), "reference_cache": str(tmp_path / "cache"), **values}
        return kind(FidOptions(data=str(data), **values))

    return build


def judge_all(task, work, folder):
    judge = task.load_judge()
    images = [read_image(folder / one.path) for one in work.drawings]
    return {
        one.id: judge.judge([one], judge.prepare([image]))[0] for one, image in zip(work.drawings, images, strict=True)
    }


def drawn(tmp_path, work, first_seed=1000):
    write_pictures(tmp_path / "drawn", [one.path for one in work.drawings], first_seed)
    return tmp_path / "drawn"


def score(task, tmp_path):
    """The score of pictures that are drawn anew."""
    work = task.prepare().check()
    return task.score(work, judge_all(task, work, drawn(tmp_path, work)), {})


def clean_fid_features(folder, extractor):
    return get_folder_features(
        str(folder),
        torch.jit.load(extractor),
        num_workers=0,
        device=torch.device("cpu"),
        verbose=False,
        custom_image_tranform=lambda array: np.asarray(gigagan(Image.fromarray(array))),
    ).astype(np.float64)


def distance(x, y):
    gap = x.mean(0) - y.mean(0)
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return gap @ gap + np.trace(c1) + np.trace(c2) - 2 * np.trace(linalg.sqrtm(c1 @ c2)).real


def test_scores_are_clean_fids_on_the_same_pictures(task, mjhq, tmp_path):
    mjhq_task = task()
    scored = score(mjhq_task, tmp_path)
    ours = clean_fid_features(tmp_path / "drawn", mjhq_task.given.extractor)
    real = clean_fid_features(mjhq / "mjhq30k_imgs", mjhq_task.given.extractor)
    assert scored.scores[scored.headline] == pytest.approx(distance(ours, real), rel=1e-6)
    values = {name.split(" (")[0]: value for name, value in scored.scores.items()}
    assert values["KID"] == pytest.approx(kid_of_subsets(ours, real).value, rel=1e-6)
    assert (values["precision"], values["recall"]) == precision_recall(ours, real)
    assert scored.details["pictures"] == 30 and scored.problems == {}
    # categories, with a note on their bias
    found = {name.split(":")[0]: value for name, value in scored.scores.items() if name.split(":")[0] in KINDS}
    sides = (tmp_path / "drawn/food", mjhq / "mjhq30k_imgs/food")
    rows = [clean_fid_features(folder, mjhq_task.given.extractor) for folder in sides]
    stats = [GaussianStats.from_moments(10, one.mean(0), np.cov(one, rowvar=False)) for one in rows]
    assert list(found) == list(KINDS) and found["food"] == pytest.approx(frechet_distance(*stats), rel=1e-5)
    assert "too large" in scored.details["note"]
    # nothing but Inception's distance is called FID
    assert scored.headline.startswith("MJHQ Fréchet distance (standin.pt features, not FID)")
    assert not any("FID" in name.replace("not FID", "") for name in scored.scores)
    assert {name for name in scored.scores if "features" not in name} <= {"KID", "precision", "recall"}


# --- what is drawn ---


def test_one_picture_a_prompt_seeded_by_its_position_and_a_fixed_part_of_them(task, mjhq, tmp_path):
    whole = task().prepare()
    assert [one.id for one in whole.drawings] == sorted(STEMS)
    assert [one.seeds for one in whole.drawings] == [(index,) for index in range(30)]
    assert whole.drawings[10] == Drawing("food00", "a food00", (10,), "food/food00.png")
    few = [one.id for one in task().prepare(limit=4).drawings]
    assert few == ["art00", "art01", "food00", "logo00"], "of every category"
    work, again, other = (task(subset=10, subset_seed=seed).prepare() for seed in (0, 0, 1))
    assert work.drawings == again.drawings and len(work.drawings) == 10 and set(work.drawings) <= set(whole.drawings)
    assert other.protocol["list"] != work.protocol["list"] == again.protocol["list"]
    assert work.protocol["subset_seed"] == 0 and work.protocol["prompts"] == 10
    assert set(task(subset=10).prepare(3).drawings) <= set(work.drawings)
    (tmp_path / "meta_data.json").write_text((mjhq / "meta_data.json").read_text().replace("a food00", "a pie"))
    texts = task(data=tmp_path).prepare().protocol
    assert texts["list"] == whole.protocol["list"] and texts["texts"] != whole.protocol["texts"]


def test_coco_draws_30000_captions_and_compares_with_every_picture(task, tmp_path):
    annotations = [{"id": i, "image_id": i // 5, "caption": f"caption {i}"} for i in range(40_000)]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/captions_val2014.json").write_text(json.dumps({"annotations": annotations}))
    write_pictures(tmp_path / "val2014", [f"COCO_val2014_{i:012d}.png" for i in range(6)])
    coco = task(COCO, tmp_path)
    work = coco.prepare().check()
    assert len(work.drawings) == 30_000 and work.protocol["prompts_of_all"] == 40_000
    assert len(coco.real[1]) == 6
    one = work.drawings[7]
    caption = int(one.id.split("_")[1])
    assert one == Drawing(f"{caption // 5:012d}_{caption}", f"caption {caption}", (caption,), f"{one.id}.png")


# --- how it is called ---


def test_names_say_the_number_and_what_departs_from_the_protocol(task):
    naming = Naming("MJHQ", "inception", True)
    assert naming.distance(30_000) == MJHQ.columns["MJHQ FID-30k"] == "MJHQ FID-30k"
    assert naming.distance(10_000) == MJHQ.columns["MJHQ FID-10k"] == "MJHQ FID-10k"
    assert naming.distance(29_999) == "MJHQ FID-29999"
    assert (short_count(1000), short_count(0), short_count(1500)) == ("1k", "0", "1500")
    assert task(reference_images=12, resize="clean").naming.remarks == ("resize clean", "12 reference pictures")
    assert Naming("COCO", "inception", True, ("resize clean",)).distance(30_000) not in COCO.columns.values()


def test_bicubic_resizes_what_is_drawn_and_leaves_the_reference(task):
    usual, other = task(), task(resize="bicubic")
    protocol = other.judge_protocol()
    assert protocol["resize"] == "bicubic" and protocol["resize of the reference"] == "gigagan"
    assert protocol["reference"] == usual.judge_protocol()["reference"]

    def features(task, image):
        judge = task.load_judge()
        (judged,) = judge.judge(task.prepare().drawings[:1], judge.prepare([image]))
        return judged.features

    image = picture(0, (384, 384))
    mine = features(other, image)
    assert np.abs(mine - features(usual, image)).max() > 0
    np.testing.assert_array_equal(mine, features(usual, bicubic(image)))
    assert "(resize bicubic" in other.naming.distance(30_000)


# --- what can be wrong ---


def test_pictures_without_a_verdict_change_the_count_in_the_name_and_too_few_have_no_score(task, tmp_path):
    mjhq_task = task()
    work = mjhq_task.prepare()
    judged = judge_all(mjhq_task, work, drawn(tmp_path, work))
    for count in (0, 1, 2):
        scored = mjhq_task.score(work, {name: judged[name] for name in list(judged)[:count]}, {})
        assert (scored.scores[scored.headline] is None) == (count < 2)
        assert scored.scores[next(name for name in scored.scores if name.startswith("precision"))] is None
    judged.pop("art03")
    judged["art04"] = Judged({}, np.full(12, np.nan, np.float32))
    scored = mjhq_task.score(work, judged, {})
    assert scored.details["pictures"] == 28 and "of 28 pictures" in scored.headline
    assert scored.problems == {"features not finite": ["art04"]}
    assert scored.items["art03"] == {"scored": False} and scored.items["art05"] == {"scored": True}
    assert np.isfinite(scored.scores[scored.headline])


def test_what_is_missing_or_impossible_is_named_before_anything_is_drawn(task, mjhq, tmp_path):
    part = tmp_path / "part"
    write_pictures(part / "mjhq30k_imgs", [f"{kind}/{stem}.png" for stem, kind in list(STEMS.items())[1:]])
    (part / "meta_data.json").symlink_to(mjhq / "meta_data.json")
    for call, message in (
        (lambda: task(data=part).judge_protocol(), "lacks 1 of 30 pictures; the first is art00"),
        (lambda: FidOptions(subset=1), "--subset must be at least 2, got 1"),
        (lambda: task(subset=31).prepare(), "cannot choose 31 of 30"),
        (lambda: MJHQ(FidOptions()).prepare(), "mjhq-fid needs --data"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    (part / "mjhq30k_imgs").rename(part / "else")
    with pytest.raises(ValueError, match=r"mjhq30k_imgs or mjhq30k_imgs\.zip"):
        task(data=part).judge_protocol()


def test_a_given_reference_is_used_and_checked(task, mjhq, tmp_path):
    first = task()
    first.load_reference()
    (kept,) = (tmp_path / "cache").iterdir()
    again = task(reference=str(kept), reference_cache=str(tmp_path / "other"))
    np.testing.assert_array_equal(again.load_reference().features, first.load_reference().features)
    assert again.judge_protocol()["reference"]["pictures"] == 30
    with pytest.raises(ValueError, match=r"is of the extractor .*standin.pt.*, not of .*shapes"):
        task(reference=str(kept), extractor="shapes").judge_protocol()
    with pytest.raises(ValueError, match="is of the resize gigagan, not of clean"):
        task(reference=str(kept), resize="clean").judge_protocol()
    stats = first.load_reference().stats
    np.savez(tmp_path / "theirs.npz", mu=stats.mean, sigma=stats.cov)
    scored = score(task(reference=str(tmp_path / "theirs.npz")), tmp_path)
    assert scored.headline.endswith("(reference theirs.npz)") and scored.scores[scored.headline] > 0
    assert [value for name, value in scored.scores.items() if name.startswith("KID (")] == [None]


def test_judge_and_reference_are_computed_where_the_run_says(task, tmp_path):
    work = task().prepare()
    options = RunOptions(tmp_path / "out", device="cpu:0", images=drawn(tmp_path, work))
    for _ in range(2):  # judged; then only scored
        one = task()
        assert run(one, options, lambda: pytest.fail("no model is needed")) is not None
        assert one.extractor.device == "cpu:0"
