"""What a checkpoint's files say about chat and pixels, beside ``config.json``: read, and written in DeepSeek's form.

``processor_config.json``, ``preprocessor_config.json`` (pixels) and the tokenizer's. These files have no field for the
chat format, and DeepSeek's processor refuses unknown ones: it stands in ``janusflow.json``, a file of our own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from janusflow.data.template import ChatConfig
from janusflow.data.tokenizer import BOS, EOS, IMAGE_PLACEHOLDER, PAD, TextTokenizer
from janusflow.data.transforms import Preprocessing
from janusflow.weights import read_json_object

OWN_FILE = "janusflow.json"

# Our field -> the files'.
OLD_CHAT_FIELDS = {"user": "user_role", "assistant": "assistant_role", "system": "system_prompt"}  # of earlier exports
PIXEL_FIELDS = {
    "min_side": "min_size",
    "background": "background_color",
    "normalize": "do_normalize",
    "mean": "image_mean",
    "std": "image_std",
}

# Of JanusFlow and Janus; of Janus-Pro. The release that a folder is called after tells them apart.
JANUS_ROLES = {"user": "User", "assistant": "Assistant"}
PRO_ROLES = {"user": "<|User|>", "assistant": "<|Assistant|>"}
RELEASES = {"janus-pro": PRO_ROLES, "janus-1.3b": JANUS_ROLES}

# What DeepSeek's processor puts in front of every conversation; released files do not state it.
RELEASED_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)


def read_chat(folder: Path, otherwise: Mapping[str, str] = JANUS_ROLES) -> ChatConfig:
    """Roles and system prompt that the files state. Where they are silent, ``otherwise`` and the released prompt count.

    transformers' ``use_default_system_prompt: false`` means none. Raises ``ValueError`` with the path of a wrong file.
    """
    own, processor = folder / OWN_FILE, read_json_object(folder / "processor_config.json", required=False)
    system = RELEASED_SYSTEM if processor.get("use_default_system_prompt", True) else ""
    earlier = {ours: processor[theirs] for ours, theirs in OLD_CHAT_FIELDS.items() if theirs in processor}
    stated = read_json_object(own, required=False).get("chat", {})
    texts = isinstance(stated, dict) and all(isinstance(text, str) for text in stated.values())
    if not texts or not stated.keys() <= OLD_CHAT_FIELDS.keys():
        raise ValueError(f"{own}: chat must be texts called {', '.join(OLD_CHAT_FIELDS)}, got {stated!r}")
    return ChatConfig(**{"system": system, **otherwise, **earlier, **stated})


def read_janus_chat(folder: Path, tokenizer: TextTokenizer) -> ChatConfig:
    """As :func:`read_chat`, for Janus and Janus-Pro, which differ in roles and whose released files do not state them.

    Where no file does, a chat template tells that names the user, else the folder's name where it is a release's, else
    the tokenizer: that of Janus-Pro has the user's role as a token.
    """
    templates = [template for template in chat_templates(folder) if JANUS_ROLES["user"] in template]
    named = [roles for name in names(folder) for release, roles in RELEASES.items() if release in name.lower()]
    if templates:
        roles = PRO_ROLES if any(PRO_ROLES["user"] in template for template in templates) else JANUS_ROLES
    elif named:
        roles = named[0]
    else:
        roles = JANUS_ROLES if tokenizer.tokenizer.token_to_id(PRO_ROLES["user"]) is None else PRO_ROLES
    return read_chat(folder, roles)


def chat_templates(folder: Path) -> Iterator[str]:
    """The chat templates of transformers' files."""
    path = folder / "chat_template.jinja"
    if path.exists():
        yield path.read_text(encoding="utf-8", errors="replace")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        yield str(read_json_object(folder / name, required=False).get("chat_template", ""))


def names(folder: Path) -> Iterator[str]:
    """What ``folder`` is called: its own name, or a hub id's where it is a snapshot in the hub's cache."""
    for path in (folder.absolute(), folder.resolve()):
        yield path.parent.parent.name if path.parent.name == "snapshots" else path.name


def chat_template(chat: ChatConfig) -> str:
    """The chat format as a template of transformers, for messages whose images stand in front of their text."""
    system = f"{chat.system.lstrip()}\n\n" if chat.system.strip() else ""
    return (
        f"{BOS}{system}"
        "{% for message in messages %}"
        "{% set texts = message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join %}"
        "{% set images = message['content'] | selectattr('type', 'equalto', 'image') | list %}"
        "{% if message['role'] == 'user' %}"
        f"{chat.user}: {{{{ ('{IMAGE_PLACEHOLDER}\n' * (images | length) ~ texts) | trim }}}}"
        "{{ '\n\n' }}"
        "{% else %}"
        f"{chat.assistant}: {{{{ texts | trim }}}}{EOS}"
        "{% endif %}"
        "{% endfor %}"
        f"{{% if add_generation_prompt %}}{chat.assistant}:{{% endif %}}"
    )


def read_preprocessing(folder: Path) -> Preprocessing:
    """Pixel settings of ``preprocessor_config.json`` (newer transformers: a part of ``processor_config.json``).

    Those of JanusFlow where they are silent.
    """
    merged = read_json_object(folder / "processor_config.json", required=False).get("image_processor", {})
    values = merged | read_json_object(folder / "preprocessor_config.json", required=False)
    found = {ours: values[theirs] for ours, theirs in PIXEL_FIELDS.items() if values.get(theirs) is not None}
    return Preprocessing(**found)


def companion_files(
    image_size: int, image_tokens: int, max_positions: int, chat: ChatConfig, preprocessing: Preprocessing
) -> dict[str, dict[str, Any]]:
    """DeepSeek's JSON files beside ``config.json``, with the fields of the releases, and our own file; by name."""
    special = {"bos_token": BOS, "eos_token": EOS}
    return {
        "processor_config.json": {
            "processor_class": "VLChatProcessor",
            "sft_format": "deepseek",
            "add_special_token": False,
            "ignore_id": -100,
            "image_tag": IMAGE_PLACEHOLDER,
            "mask_prompt": True,
            "num_image_tokens": image_tokens,
        },
        OWN_FILE: {"chat": dataclasses.asdict(chat)},
        "preprocessor_config.json": {
            "image_processor_type": "VLMImageProcessor",
            "processor_class": "VLChatProcessor",
            "image_size": image_size,
            "rescale_factor": 1 / 255,
            **{theirs: getattr(preprocessing, ours) for ours, theirs in PIXEL_FIELDS.items()},
        },
        "special_tokens_map.json": special,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_positions,
            **special,
            "pad_token": PAD,
        },
    }
