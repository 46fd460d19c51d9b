"""The networks. Read ``unified.py`` first. Nothing here knows of data sets, training or Lightning."""
