"""The shapes world: a synthetic stand-in for image-text data, small enough to learn on a laptop CPU.

Scenes of one to five coloured shapes, their captions, questions with exact answers, GenEval-style prompts,
a renderer, and an oracle that reads a picture back. Everything is a pure function of a seed and an index.
"""

from janusflow.worlds.shapes.render import IMAGE_SIZE, render
from janusflow.worlds.shapes.scenes import Scene, SceneObject, sample_scene

__all__ = ["IMAGE_SIZE", "Scene", "SceneObject", "render", "sample_scene"]
