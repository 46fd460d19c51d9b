"""Our models in lmms-eval (github.com/EvolvingLMMs-Lab/lmms-eval), for the benchmarks that we do not hold ourselves.

With the extra ``janusflow[lmms]`` installed, lmms-eval finds the model by its entry point::

    lmms-eval --model janusflow --model_args pretrained=deepseek-ai/JanusFlow-1.3B --tasks gqa --batch_size 8

Prompts and scores are then lmms-eval's, not those of ``eval.understanding``. Written against version 0.7.3.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from janusflow.checkpoints.pretrained import Bundle, load_pretrained
from janusflow.inference.answers import Conversation, DecodingOptions, answer
from janusflow.inference.images import embed_prompts
from janusflow.pictures import to_rgb

try:
    from lmms_eval.api.model import lmms
except ImportError as error:
    raise ImportError(f"eval.lmms needs lmms-eval: pip install 'janusflow[lmms]' ({error})") from error

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance

PLACEHOLDER = "<image>"  # tasks may say where an image goes; ours stand in front of the question
MAX_NEW_TOKENS = 128  # of tasks that do not say
DTYPES = ("float32", "bfloat16", "float16")
UNDERSTOOD = ("until", "max_new_tokens", "temperature", "top_p", "do_sample", "num_beams")


class JanusFlow(lmms):
    """Answers lmms-eval's requests with :func:`janusflow.inference.answers.answer`."""

    is_simple = True  # requests are (context, …, doc_to_visual, doc_id, task, split), not chat messages

    def __init__(
        self,
        pretrained: str,
        device: str | None = "cpu",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        dtype: str | None = None,
        system_prompt: str | None = "",
        adapter: str | None = None,
    ) -> None:
        """pretrained: a model folder or hub id. system_prompt: None is the model's own. dtype: None is the device's.
        adapter: over the model, as ``--adapter`` elsewhere.

        Raises ``ValueError`` for an unknown dtype, a batch size that is no number, and a model that cannot be loaded.
        """
        super().__init__()
        if not str(batch_size).isdigit() or int(batch_size) < 1:
            raise ValueError(f"batch_size must be a number of at least 1, got {batch_size!r}")
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
        kept = None if dtype is None else getattr(torch, dtype)
        self.bundle = load_pretrained(pretrained, device=device or "cpu", dtype=kept, vae="sight", adapter=adapter)
        if system_prompt is not None:
            self.bundle = dataclasses.replace(
                self.bundle, chat=dataclasses.replace(self.bundle.chat, system=system_prompt)
            )
        self.device = torch.device(device or "cpu")
        self.batch_size = int(batch_size)
        self.ignored: set[str] = set()  # generation arguments that were warned about

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answers in the order of the requests, whose arguments are (context, generation arguments, …)."""
        answers = [""] * len(requests)
        wanted = [self.decoding(request.args[1]) for request in requests]
        for options, numbers in batches(wanted, self.batch_size):
            talks = [self.conversation(requests[number].args) for number in numbers]
            for number, text in zip(numbers, answer(self.bundle, talks, options, len(talks)), strict=True):
                answers[number] = text
                self.cache_hook.add_partial("generate_until", requests[number].args[:2], text)
        return answers

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """For each (context, continuation, …): the continuation's loss, and whether greedy decoding would give it.

        The base class's text asks for a log-likelihood, but tasks take the *least* value as the choice, since the
        models that ship with lmms-eval return the mean loss of a token. So does this one.
        """
        found = []
        for request in requests:
            context, continuation, *rest = request.args
            if callable(continuation):
                continuation = continuation(self.document(rest))
            talk = self.conversation((context, {}, *rest))
            found.append(continuation_loss(self.bundle, talk, continuation))
        return found

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        raise NotImplementedError("janusflow does not answer lmms-eval's multi-round tasks")

    def document(self, rest: Sequence[Any]) -> Any:
        """The data set's row that a request's (doc_to_visual, doc_id, task, split) names."""
        _, number, task, split = rest
        return self.task_dict[task][split][number]

    def conversation(self, args: Sequence[Any]) -> Conversation:
        """What is asked. Raises ``ValueError`` for visuals that are no images, such as videos."""
        context, _, doc_to_visual, number, task, _ = args
        visuals = doc_to_visual(self.document(args[2:])) or []
        odd = next((visual for visual in visuals if not isinstance(visual, Image.Image)), None)
        if odd is not None:
            raise ValueError(f"{task}, document {number}: janusflow sees images only, not {type(odd).__name__}")
        question = context.replace(PLACEHOLDER, "").strip()
        return Conversation([to_rgb(visual) for visual in visuals], [(question, None)])

    def decoding(self, given: Mapping[str, Any]) -> DecodingOptions:
        """Options from a task's generation arguments. Raises ``ValueError`` for beam search; warns of unknown ones."""
        unknown = [name for name in given if name not in UNDERSTOOD and name not in self.ignored]
        if unknown:
            warnings.warn(f"janusflow ignores the generation arguments {', '.join(unknown)}", stacklevel=2)
            self.ignored.update(unknown)
        if (given.get("num_beams") or 1) > 1:
            raise ValueError(f"janusflow has no beam search, and the task asks for {given['num_beams']} beams")
        until = given.get("until") or ()
        sampled = given.get("do_sample", True)
        return DecodingOptions(
            max_new_tokens=given.get("max_new_tokens") or MAX_NEW_TOKENS,
            temperature=float(given.get("temperature") or 0) if sampled else 0.0,
            top_p=float(given.get("top_p") or 1) if sampled else 1.0,
            stop=tuple(stop for stop in ([until] if isinstance(until, str) else until) if stop),
        )


def batches(wanted: Sequence[DecodingOptions], size: int) -> Iterator[tuple[DecodingOptions, list[int]]]:
    """The requests' numbers in batches of at most ``size`` that share their options."""
    groups: dict[DecodingOptions, list[int]] = {}
    for number, options in enumerate(wanted):
        groups.setdefault(options, []).append(number)
    for options, numbers in groups.items():
        for start in range(0, len(numbers), size):
            yield options, numbers[start : start + size]


@torch.inference_mode()
def continuation_loss(bundle: Bundle, talk: Conversation, continuation: str) -> tuple[float, bool]:
    """Mean cross-entropy of the continuation's tokens, end-of-sentence included, and whether each is the likeliest."""
    [(question, _)] = talk.turns
    tokens = bundle.template.conversation([(question, continuation.strip())], len(talk.images))
    llm = bundle.model.llm
    ids = torch.tensor([tokens.ids], device=llm.device)
    position = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
    hidden = llm(embed_prompts(bundle, ids, talk.images), position).hidden
    here = torch.tensor(tokens.supervised, device=ids.device).nonzero().squeeze(1)
    logits = llm.logits(hidden[0, here - 1]).float()
    loss = torch.nn.functional.cross_entropy(logits, ids[0, here])
    return float(loss), bool((logits.argmax(-1) == ids[0, here]).all())


def manifest() -> Any:
    """What lmms-eval's entry point ``lmms_eval.models`` takes."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="janusflow", simple_class_path="eval.lmms.JanusFlow")
