"""The controlled comparison of models: same prompts and seeds, scores with intervals, cost, quality against compute."""
