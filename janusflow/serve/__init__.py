"""A model over HTTP, in the shapes of the widely used image and chat endpoints. Read ``app.py`` first."""
