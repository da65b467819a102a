"""Configurations of searches of a few steps with the zoo's models, saved at every step."""

SCENES_RUN = {
    "model": {
        "class_path": "AutoDAN",
        "init_args": {
            "steps": 12,
            "patience": 4,
            "batch_size": 8,
            "gradient_samples": 2,
            "terms": [
                {"class_path": "Fluency", "init_args": {"model": "zoo/gpt2"}},
                {"class_path": "ImageSimilarity", "init_args": {"model": "zoo/clip", "weight": 5}},
            ],
        },
    },
    "data": {"class_path": "ImageTargets", "init_args": {"images": "scenes", "batch_size": 2}},
    "trainer": {
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "callbacks": [
            {"class_path": "BeamSearch", "init_args": {"beam_width": 2}},
            {
                "class_path": "ModelCheckpoint",
                "init_args": {
                    "every_n_train_steps": 1,
                    "save_top_k": 2,
                    "monitor": "step",
                    "mode": "max",
                },
            },
        ],
    },
}
"""AutoDAN over scenes in the folder ``scenes``; the last two checkpoints are kept."""


def short_search(images, steps, trainer=None, **model):
    """What a YAML file of AutoDAN for some pictures holds."""
    return {
        "model": {
            "class_path": "AutoDAN",
            "init_args": {
                "terms": [
                    {"class_path": "Fluency", "init_args": {"model": "zoo/gpt2"}},
                    {"class_path": "ImageSimilarity", "init_args": {"model": "zoo/clip"}},
                ],
                "steps": steps,
                "gradient_samples": 1,
                **model,
            },
        },
        "data": {"class_path": "ImageTargets", "init_args": {"images": images}},
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": [
                {"class_path": "ModelCheckpoint", "init_args": {"every_n_train_steps": 1}}
            ],
            **(trainer or {}),
        },
    }
