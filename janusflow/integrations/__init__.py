"""The same models where other libraries look for them: a diffusers pipeline, transformers' Auto classes."""
