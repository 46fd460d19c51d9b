"""How TextVQA's evaluation reads a short answer: the answer processor of M4C, in MMF.

Source: Hu et al. 2020, "Iterative Answer Prediction with Pointer-Augmented Multimodal Transformers" (arXiv:1911.06258),
and the behaviour of MMF's ``EvalAIAnswerProcessor``: the VQA evaluation's reading, after a first pass that takes commas
and question marks out of the text without leaving a space, and sets a possessive 's apart.
"""

from __future__ import annotations

from eval.understanding.vqa_normalize import normalize, one_line


def normalize_m4c(text: str) -> str:
    """An answer as TextVQA compares it. Predictions and annotators' answers are always read so."""
    plain = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return normalize(one_line(plain))
