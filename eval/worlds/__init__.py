"""Scores of the worlds: the six GenEval accuracies, answers, diversity, distances and image-text similarity."""
