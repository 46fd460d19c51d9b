"""Scores of generated pictures and of answers: a user of ``janusflow``, which never imports it."""
