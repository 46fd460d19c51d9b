"""GenEval (Ghosh, Hajishirzi and Schmidt 2023): objects, counts, colours and positions as asked."""
