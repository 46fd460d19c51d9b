"""Scores of the shapes world: the six GenEval accuracies, answers, a Fréchet distance and image-text similarity."""
