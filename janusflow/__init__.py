"""JanusFlow and Janus: one language model that understands images and draws them, by rectified flow or code by code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from janusflow.integrations.diffusers_pipeline import JanusFlowPipeline
    from janusflow.pipeline import Pipeline, load_pretrained

__version__ = "0.1.0"
__all__ = ["JanusFlowPipeline", "Pipeline", "__version__", "load_pretrained"]


def __getattr__(name: str) -> Any:
    """Import what loads a model when it is first asked for: it takes torch and transformers with it."""
    if name in ("Pipeline", "load_pretrained"):
        from janusflow import pipeline

        return getattr(pipeline, name)
    if name == "JanusFlowPipeline":
        from janusflow.integrations.diffusers_pipeline import JanusFlowPipeline

        return JanusFlowPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
