"""Configuration of a search of a few steps with the zoo's models, saved at every step."""


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
