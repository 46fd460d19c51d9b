"""What each benchmark makes of answers: its scores, every question, and what is wrong."""

import json
import math

import pytest

from eval.understanding.mmbench import STEP
from eval.understanding.mme import COGNITION, PERCEPTION, SUBTASKS
from eval.understanding.mmmu import DOMAINS, SUBJECTS
from eval.understanding.seed import TYPES
from tests.eval.understanding.folders import FOLDERS, score, task, write

# --- POPE ---


def pope(rows):
    """Of (split, label, answer or None)."""
    golds = {str(number): {"split": split, "label": label} for number, (split, label, _) in enumerate(rows)}
    return score("pope", golds, {str(n): said for n, (*_, said) in enumerate(rows) if said is not None})


def test_popes_rates_and_overall():
    for labels, answers, rates in (
        (["yes"] * 4 + ["no"] * 4, ["Yes"] * 3 + ["No", "Yes"] + ["No"] * 3, (75, 75, 75, 75, 50)),
        (["yes", "yes", "no"], ["Yes", "No", "No"], (200 / 3, 100, 50, 200 / 3, 100 / 3)),
        (["no", "no", "no", "yes"], ["yes"] * 4, (25, 25, 100, 40, 100)),
        # a missing answer is wrong and stays out of the ratio of yes
        (["yes", "no", "yes", "no"], ["Yes", "No", None, None], (50, 100, 50, 200 / 3, 50)),
        (["yes", "no"], ["No", "No"], (50, 0, 0, 0, 0)),
        (["yes"], [None], (0, 0, 0, 0, None)),
    ):
        scores = pope([("random", *one) for one in zip(labels, answers, strict=True)]).scores
        found = [scores[f"random {name}"] for name in ("accuracy", "precision", "recall", "f1", "yes_ratio")]
        assert found == [None if rate is None else pytest.approx(rate) for rate in rates], labels
    # the mean F1 and F1 over all rows are different numbers
    rows = [("random", "yes", "Yes")] * 3 + [("popular", "yes", "Yes"), ("popular", "no", "Yes")]
    scores = pope([*rows, ("adversarial", "yes", "No"), ("adversarial", "yes", "Yes")]).scores
    assert scores["mean F1"] == pytest.approx((100 + 200 / 3 + 200 / 3) / 3)
    assert scores["Overall"] == pytest.approx(100 * 10 / 12)  # 2 TP / (2 TP + FP + FN), with 5, 1 and 1
    # a missing split leaves none, and every answer is accounted for
    scored = pope([("random", "yes", "yes"), ("random", "no", " "), ("popular", "yes", None)])
    assert scored.problems == {"unparseable": ["1"], "missing": ["2"], "missing split": ["adversarial"]}
    assert scored.scores["Overall"] is None and scored.scores["mean F1"] is None
    assert scored.scores["random accuracy"] == 50 and "adversarial f1" not in scored.scores
    assert scored.items["1"] == {"said": "yes", "label": "no", "correct": False}
    assert scored.items["2"] == {"said": None, "label": "yes", "correct": False}


# --- MME ---


def mme(**images):
    """By subtask: what is right about each picture."""
    golds, answers = {}, {}
    for subtask, of in images.items():
        for image, questions in enumerate(of):
            for number, right in enumerate(questions):
                golds[f"{subtask}/{image}/{number}"] = {"subtask": subtask, "image": str(image), "label": "yes"}
                answers[f"{subtask}/{image}/{number}"] = "Yes" if right else "No"
    return score("mme", golds, answers)


def test_a_subtask_of_mme_is_accuracy_plus_accuracy_plus_and_perception_sums_ten():
    for images, scores in (
        ([(1, 1), (1, 0)], (75, 50, 125)),
        ([(1, 0), (0, 1)], (50, 0, 50)),
        ([(1, 1)], (100, 100, 200)),
        ([(1,), (1, 1), (1, 1, 1)], (100, 100 / 3, 400 / 3)),  # not two questions: never right
    ):
        found = mme(color=images).scores
        assert [found[f"color{name}"] for name in (" accuracy", " accuracy+", "")] == pytest.approx(list(scores))
    assert (len(PERCEPTION), len(COGNITION)) == (10, 4)
    scores = mme(**{key: [(1, 1)] for key in SUBTASKS}).scores
    assert (scores["perception"], scores["cognition"], scores["OCR"]) == (2000, 800, 200)
    scores = mme(**{key: [(1, 0)] for key in PERCEPTION}).scores
    assert (scores["perception"], scores["cognition"]) == (500, None)
    scores = mme(color=[(1, 1)], count=[(0, 0)]).scores  # two pictures of one name
    assert (scores["color"], scores["count"], scores["perception"]) == (200, 0, None)


def test_everything_odd_about_mme_is_named(tmp_path):
    changes = {name: None for name in FOLDERS["mme"] if name.startswith("existence/")}
    changes |= {"color/2.txt": "One? Please answer yes or no.\tNo\n", "color/2.png": FOLDERS["mme"]["color/1.png"]}
    work = task("mme", write(tmp_path, "mme", **changes)).prepare()
    answers = {one.id: one.gold["label"] for one in work.questions} | {"count/1/1": "Two", "count/1/2": "It is red"}
    del answers["OCR/1/2"]
    scored = task("mme").score(work, {}, answers)
    assert scored.problems == {
        "unparseable": ["count/1/1", "count/1/2"],
        "missing": ["OCR/1/2"],
        "not two questions about a picture": ["color/2"],
        "missing subtask": ["existence"],
    }
    assert scored.scores["perception"] is None and scored.scores["cognition"] == 800
    assert (scored.scores["count"], scored.scores["OCR"], scored.scores["color"]) == (0, 50, 150)
    assert scored.items["OCR/1/2"] == {"said": None, "label": "no", "correct": False}


# --- MMBench ---


def mmbench(*questions, groups=()):
    """Questions of rotations in turn: what is said about each, "A" is right; None: it was not asked."""
    options = {letter: letter * 3 for letter in "ABCD"}
    golds, answers = {}, {}
    for index, said in enumerate(questions, 1):
        of = groups[index - 1] if groups else ()
        for rotation, letter in enumerate(said):
            if letter is not None:
                key = str(index + rotation * STEP)
                golds[key] = {"answer": "A", "options": options, "rotations": len(said), "groups": list(of)}
                answers[key] = letter
    return score("mmbench", golds, answers)


def test_mmbench_and_its_categories_are_circular():
    for questions, circular, first in (
        (["AAAA", "AAAB"], 50, 100),  # right only if every rotation is
        (["BAAA", "ABAA"], 0, 50),
        (["A?AA"], 0, 100),  # no letter
        (["AAAA", "BB"], 50, 50),  # every question counts once whatever its rotations
        ([["A", "A", "A", None]], 0, 100),  # a rotation that was not asked
        ([[None, "A", "A", "A"]], 0, 0),
        ([], None, None),
    ):
        assert mmbench(*questions).scores == {"circular": circular, "first pass": first}
    groups = [("category: x", "l2-category: y"), ("category: x",)]
    found = mmbench("ABAA", "AAAA", groups=groups)
    assert found.scores == {"circular": 50, "first pass": 100, "category: x": 50, "l2-category: y": 0}
    assert found.problems == {} and found.items["1000001"] == {"said": "B", "label": "A", "correct": False}
    found = mmbench(["A", "A", "A", None], "A?AA", "AA")
    assert found.problems == {
        **{"unparseable": ["1000002"], "not every rotation was asked": ["1"]},
        "fewer rotations in the file than options": ["3"],
    }
    assert found.scores["circular"] == pytest.approx(100 / 3)


# --- SEED-Bench and MMMU ---


def test_seeds_accuracy_by_type_and_over_all_questions():
    options = {"A": "One", "B": "Two", "C": "Five", "D": "Six"}
    golds = {str(n): {"type": 1 if n < 2 else 9, "answer": "B", "options": options} for n in range(5)}
    scored = score("seed", golds, {"0": "B", "1": "It is two.", "2": "Nine", "3": "A"})
    assert scored.scores == {"overall": 40, TYPES[1]: 100, TYPES[9]: 0}
    assert scored.problems == {"unparseable": ["2"], "missing": ["4"]}
    assert scored.items["3"] == {"said": "A", "label": "B", "correct": False}
    assert score("seed", {}, {}).scores == {"overall": None}


def test_every_question_of_mmmu_counts_the_same():
    assert (len(SUBJECTS), len(DOMAINS)) == (30, 6)
    golds = {
        f"{subject}{n}": {"subject": subject, "choices": {"A": "red", "B": "blue"}, "answer": "B"}
        for n, subject in enumerate(("Art", "Art", "Music", "Math"))
    }
    golds["open"] = {"subject": "Chemistry", "choices": {}, "answer": ["MgS"]}
    scored = score("mmmu", golds, {"Art0": "(B)", "Art1": "B", "Music2": "blue", "open": "It is mgs"})
    assert scored.scores == {
        **{"overall": 60, "Art and Design": pytest.approx(200 / 3), "Science": 50},
        **{"Art": 100, "Music": 0, "Chemistry": 100, "Math": 0, "guesses (of multiple choice)": 25},
    }
    assert scored.problems["unparseable"] == ["Music2"] and scored.problems["missing"] == ["Math3"]
    assert len(scored.problems["missing subject"]) == 26
    assert scored.items["open"] == {"said": None, "label": ["MgS"], "correct": True}
    assert score("mmmu", {}, {}).scores["overall"] is None


# --- short answers ---


def annotated(answers, kind="other", form="what"):
    return {"answers": answers, "answer_type": kind, "question_type": form}


def test_vqav2s_accuracies_are_by_answer_and_question_type():
    golds = {
        "1": annotated(["yes"] * 10, "yes/no", "is the"),
        "2": annotated(["no"] * 10, "yes/no", "is the"),
        "3": annotated(["2"] * 1 + ["3"] * 9, "number", "how many"),
    }
    scored = score("vqav2", golds, {"1": "yes", "2": "yes", "3": "two"})
    assert scored.scores == pytest.approx({"accuracy": 100 * 1.3 / 3, "yes/no": 50, "number": 30, "other": None})
    assert scored.details["question types"] == pytest.approx({"how many": 30, "is the": 50})
    assert list(scored.details["question types"]) == ["how many", "is the"]
    assert scored.items["3"] == {"read": "2", "score": pytest.approx(0.3)} and scored.problems == {}


@pytest.mark.parametrize("name", ["vqav2", "textvqa"])
def test_a_missing_answer_is_no_empty_one_and_other_than_ten_annotators_are_named(name):
    given = {"1": ["the"] * 5 + ["dog"] * 5, "2": ["yes"] * 4}
    golds = given if name == "textvqa" else {key: annotated(of) for key, of in given.items()}
    scored = score(name, golds, {"2": "yes"})
    assert scored.scores["accuracy"] == 50
    assert scored.problems == {"missing": ["1"], "not ten annotators": ["2"]}
    assert scored.items == {"1": {"read": None, "score": 0.0}, "2": {"read": "yes", "score": 1.0}}


def test_gqas_accuracies_by_type_and_chartqas_by_half():
    kinds = [("yes", "verify", "attr"), ("dog", "query", "attr"), ("cat", "query", "rel"), ("left", "choose", "rel")]
    golds = {str(n): dict(zip(("answer", "structural", "semantic"), one, strict=True)) for n, one in enumerate(kinds)}
    scored = score("gqa", golds, {"0": "Yes.", "1": "dog", "2": "dog"})
    assert scored.scores == {
        **{"accuracy": 50, "structural choose": 0, "structural query": 50, "structural verify": 100},
        **{"semantic attr": 100, "semantic rel": 0},
    }
    assert scored.problems == {"missing": ["3"]} and scored.items["3"] == {"read": None, "score": 0.0}
    golds = {"h": {"label": "10", "part": "human"}, "a": {"label": "Yes", "part": "augmented"}}
    scored = score("chartqa", golds | {"b": {"label": "3", "part": "augmented"}}, {"h": "12", "a": "yes"})
    assert scored.scores == {"accuracy": pytest.approx(100 / 3), "human": 0, "augmented": 50}
    assert scored.problems == {"missing": ["b"]}
    assert score("chartqa", {"h": golds["h"]}, {"h": "10"}).scores["augmented"] is None


# --- MM-Vet ---


@pytest.fixture
def vet(tmp_path):
    def build(grades, answers=3, questions=3):
        golds = [["math", "ocr"], ["rec", "rec"], ["ocr", "math"]][:questions]  # named twice: once
        (tmp_path / "grades.json").write_text(json.dumps({key: {"score": of} for key, of in grades.items()}))
        named = {f"v1_{n}": {"answer": "3", "capability": of} for n, of in enumerate(golds)}
        said = {f"v1_{n}": "a" for n in range(answers)}
        return score("mm-vet", named, said, graded=str(tmp_path / "grades.json"))

    return build


def test_mm_vets_grades_are_averaged_over_questions_and_runs_and_what_is_wrong_is_named(vet):
    scored = vet({"v1_0": [0.0, 0.2], "v1_1": [1.0, 1.0], "v1_2": [0.5, 0.3]})
    assert scored.headline == "total" and scored.problems == {}
    assert scored.scores == pytest.approx(
        {"total": 50, "rec": 100, "ocr": 25, "know": None, "gen": None, "spat": None, "math": 25}
    )
    assert scored.details["combinations"] == pytest.approx({"ocr_math": 25, "rec": 100})
    assert scored.details["runs"] == pytest.approx([50, 50])
    assert scored.details["standard deviation"] == pytest.approx(0)
    assert scored.items["v1_0"] == {"score": pytest.approx(0.1), "grades": [0.0, 0.2]}
    assert set(score("mm-vet", {"v": {"answer": "", "capability": ["ocr"]}}, {"v": "a"}).scores.values()) == {None}
    scored = vet({"v1_0": [0.0, 1.0]}, questions=1)  # the deviation is of the runs' totals
    assert scored.details["runs"] == [0, 100] and scored.details["standard deviation"] == 50
    for grades, answers, total, problems in (
        ({"v1_0": [1, 1], "v1_1": [1]}, 2, 75, {"missing grade": ["v1_1"]}),
        ({"v1_0": [1], "v1_1": [1]}, 1, 50, {"missing": ["v1_1"]}),  # 0 whatever its grade
        ({"v1_0": [1], "v1_1": [1], "v1_9": [0]}, 2, 100, {"grade of another question": ["v1_9"]}),
        ({"v1_0": [], "v1_1": []}, 2, None, {"missing grade": ["v1_0", "v1_1"]}),
        *(
            ({"v1_0": [bad], "v1_1": [1]}, 2, 50, {"unusable grade": ["v1_0"]})
            for bad in (1.5, -0.1, math.nan, math.inf, "0.5", None, True, 10**400)
        ),
    ):
        scored = vet(grades, answers, questions=2)
        assert scored.scores["total"] == total and scored.problems == problems, grades
