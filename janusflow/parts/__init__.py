"""The small model's pretrained parts: tokenizer, VAE, VQ tokenizer, SigLIP and language model of the shapes world.

The real model starts from SDXL-VAE, SigLIP-L and DeepSeek-LLM; the small one starts from these.
``python -m janusflow.parts`` rebuilds them all from a seed.
"""
