"""What the report prints of made-up scores."""

from eval.compare.report import cell, gap, score_sections
from eval.compare.summary import summarize_split


def results(prompts, answers=4):
    """Two tags of ``prompts`` each, and one kind of question; two models that differ in every prompt."""

    def model(right):
        return {
            "tags": ["colors"] * prompts + ["position"] * prompts,
            "correct": [[right]] * 2 * prompts,
            "similarity": [[50.0 + right]] * 2 * prompts,
            "frechet": 0.5,
            "frechet_floor": 0.25,
            "frechet_without": [0.5] * 2 * prompts,
            "kinds": ["color"] * answers,
            "right": [[right]] * answers,
        }

    return {"weak": [model(0)], "strong": [model(1)]}


def printed(rows):
    """label -> (score of the strong model, difference)."""
    return {
        row["label"]: (cell(row["models"]["strong"]), *(gap(one) for one in row["differences"].values()))
        for row in rows
    }


def test_one_prompt_of_a_tag_gives_no_interval():
    rows = printed(summarize_split(results(prompts=1), 50))
    assert rows["GenEval rules: mean of the tags"] == ("1.000 [–]", "+1.000 [–]")
    assert rows["GenEval rules: colors"] == ("1.000 [–]", "+1.000 [–]")
    assert [both for label, both in rows.items() if label.startswith("Fréchet")] == [("0.500 [–]", "+0.000 [–]")]
    assert [both for label, both in rows.items() if label.startswith("image-text")] == [("51.0 [–]", "+1.000 [–]")]
    assert [both for label, both in rows.items() if label.startswith("…")] == [("0.250",)], "never has one"
    assert rows["answers: all"] == ("1.000 [1.000, 1.000]", "+1.000 [+1.000, +1.000] *")


def test_the_report_says_why_there_is_no_interval():
    def said(prompts):
        models = {name: {"checkpoints": [""]} for name in ("weak", "strong")}
        scores = {"in_distribution": summarize_split(results(prompts), 50)}
        sections = score_sections({"models": models, "scores": scores, "protocol": {"bootstrap": 50}})
        return " ".join(part.text for section in sections for part in section.parts if part.kind == "text")

    assert "[–] is no interval" in said(1) and "[–]" not in said(2)
