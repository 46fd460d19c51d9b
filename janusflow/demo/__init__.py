"""A page in the browser: draw, watch, compare, ask. Read ``page.py`` first."""
