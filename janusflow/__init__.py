"""JanusFlow: one language model that understands images autoregressively and draws them by rectified flow."""

__version__ = "0.1.0"
