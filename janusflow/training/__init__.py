"""A run: its configuration, stages, data, steps and states. Read ``module.py`` first."""
