"""Train a model: ``python train.py [CONFIG] [key=value …]``, or go on with ``--resume`` (see janusflow/training)."""

from janusflow.training.command import main

if __name__ == "__main__":
    raise SystemExit(main())
