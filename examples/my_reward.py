"""A reward of one's own, for stages in which the model learns from verdicts on its own pictures.

    python train.py configs/shapes_nft.yaml "stages.nft.rollout.rewards={my_reward:darkness: 1}"

That adds it to the configuration's rewards, which are summed with their weights; ``~stages.nft.rollout.rewards`` in
front of it leaves those out.
"""

import numpy as np


def darkness(images, prompts):
    """More for darker pictures: 1 of black, 0 of white. One finite number a picture.

    prompts: mappings, with the text as ``"prompt"`` and what its source knows of it (GenEval's conditions, a world).
    """
    return [1 - float(np.asarray(image.convert("L")).mean()) / 255 for image in images]
