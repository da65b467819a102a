"""Every configuration parses as it is, and runs with small models of the same architectures."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fuse_lightning.cli.main import main
from fuse_lightning.models import CLIP
from fuse_lightning.results.export import safe_cell
from fuse_lightning.results.result import read_results
from tests.factories import captioners, tiny
from tests.factories.causal_lms import llama
from tests.factories.classifiers import roberta_classifier
from tests.factories.diffusion import stable_diffusion
from tests.factories.folders import edit_json
from tests.factories.more_causal_lms import gemma2
from tests.optimizers.runs import SHARED, close

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
STANDINS = {
    "openai-community/gpt2-large": "gpt2",
    "openai-community/gpt2-medium": "gpt2",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "chat",
    "meta-llama/Meta-Llama-3-8B-Instruct": "llama",
    "google/gemma-2-9b-it": "gemma2",
    "openai/clip-vit-base-patch32": "clip",
    "cardiffnlp/twitter-roberta-base-sentiment-latest": "roberta",
    "Salesforce/blip-image-captioning-base": "blip",
    "Salesforce/blip2-opt-2.7b": "blip2",
    "CompVis/stable-diffusion-v1-4": "diffusion",
}
CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    roberta = roberta_classifier(folder / "roberta")
    labels = dict(enumerate(("negative", "neutral", "positive")))
    numbers = {label: index for index, label in labels.items()}
    edit_json(folder / "roberta" / "config.json", id2label=labels, label2id=numbers)
    chat = tiny.gpt2(folder / "chat")
    edit_json(folder / "chat" / "tokenizer_config.json", chat_template=CHAT)
    chats = {}
    for build in (llama, gemma2):
        chats[build.__name__] = str(build(folder / build.__name__))
        edit_json(folder / build.__name__ / "config.json", max_position_embeddings=512)
        edit_json(folder / build.__name__ / "tokenizer_config.json", chat_template=CHAT)
    return {
        **chats,
        "chat": chat,
        "gpt2": tiny.gpt2(folder / "gpt2"),
        "clip": tiny.clip(folder / "clip"),
        "roberta": str(roberta),
        "blip": captioners.blip(folder / "blip"),
        "blip2": captioners.blip2_opt(folder / "blip2"),
        "diffusion": str(stable_diffusion(folder / "diffusion")),
    }


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_there_are_configs():
    assert {path.stem for path in CONFIGS} >= {
        "block_list",
        "caption_blip",
        "caption_image",
        "caption_sentiment",
        "classification",
        "clip_prompt",
        "distill",
        "find_divergence",
        "greater",
        "greater_gemma2",
        "greater_llama3",
        "greater_smollm2",
        "join",
        "negative_prompt",
        "pez",
        "quickstart",
        "quickstart_sentiment",
        "refine_caption",
        "stable_diffusion",
        "style",
    }


def has_terms(path):
    """Whether a configuration is of a search with an objective."""
    model = yaml.safe_load(path.read_text()).get("model", {})
    return "terms" in model.get("init_args", {})


SEARCHES = [path for path in CONFIGS if has_terms(path)]


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_config_parses_and_says_how_to_run_it(path, picture, capsys):
    command = next(
        line for line in path.read_text().splitlines() if line.startswith("#   fuse fit")
    )
    words = command.removeprefix("#   fuse ").split()
    words = [str(picture) if word == "PATH" else word for word in words]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--print_config"])
    parsed = yaml.safe_load(capsys.readouterr().out)
    written = yaml.safe_load(path.read_text())["model"]["init_args"]
    assert parsed["model"]["init_args"]["steps"] == written["steps"]
    assert len(parsed["model"]["init_args"]["terms"]) == len(written["terms"])


def few_examples(labels):
    """Options of labelled data in a small table, with the fields of all data sets of the hub."""
    with Path("few.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("text", "title", "content", "label"))
        writer.writeheader()
        for number in range(8 * len(labels)):
            texts = {name: f"{name} {number}" for name in ("text", "title", "content")}
            writer.writerow(texts | {"label": [*labels][number % len(labels)]})
    columns = {"text_column": ["text", "title", "content"], "label_column": "label"}
    sizes = {"shots": 2, "select": 2 * len(labels), "test": 2 * len(labels)}
    return {"data": "few.csv", "labels": labels, **columns, **sizes}


ANSWERS = {"choice": "AB", "word": ("red", "blue")}


def few_questions(answer, extractor):
    """Options of a small table of questions with answers of a kind."""
    options = "\n(A) yes\n(B) no" if answer == "choice" else ""
    rows = [{"question": f"{n}?{options}", "answer": ANSWERS[answer][n % 2]} for n in range(16)]
    with Path("few.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("question", "answer"))
        writer.writeheader()
        writer.writerows(rows)
    sizes = {"train": 6, "select": 4, "test": 4}
    # It ends as that of the configuration does.
    short = f" It is{(extractor or ':')[-2:]}"
    return {"data": "few.csv", "answer": answer, "extractor": short, **sizes}


def with_small_models(path, models):
    """The configuration for few steps, with look-alikes of its models in the same places."""
    config = yaml.safe_load(path.read_text())
    options = config["model"]["init_args"]
    small = {"steps": 2, "batch_size": 4, "top_k": 8, "polish_steps": 1, "count": 3}
    data = config["data"].get("init_args", {})
    if config["data"]["class_path"] == "ReasoningExamples":
        small |= {"examples_per_step": 5}
        options["terms"][0]["init_args"]["max_chain_tokens"] = 4
        if data["data"] == "zoo/sums":
            data |= {"train": 6, "select": 4, "test": 4}
        else:
            config["data"]["init_args"] = few_questions(data["answer"], data.get("extractor"))
    elif str(data.get("data")).startswith("hub:"):
        config["data"]["init_args"] = few_examples(data["labels"])
    options |= {name: value for name, value in small.items() if name in options}
    places = [(term["init_args"], "model") for term in options["terms"]]
    places += [(options, "captioner")] if "captioner" in options else []
    if isinstance(options.get("initial_prompt"), str):
        # Few tokens of a small vocabulary.
        options["initial_prompt"] = "a red house"
    elif "initial_prompt" in options:
        places.append((options["initial_prompt"]["init_args"], "model_id"))
    places = [
        (holder[name]["init_args"], "model_id")
        if isinstance(holder[name], dict)
        else (holder, name)
        for holder, name in places
    ]
    for holder, name in places:
        holder[name] = models.get(STANDINS.get(holder[name]), holder[name])
    return config


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=[] if path.stem == "quickstart" else pytest.mark.slow
        )
        for path in SEARCHES
    ],
)
def test_config_goes_through_fit_test_and_predict(path, models, picture, tmp_path, capsys):
    config = with_small_models(path, models)
    Path("own.yaml").write_text(yaml.safe_dump(config))
    images = "Text" not in (kind := config["data"]["class_path"]) and "Examples" not in kind
    pictures = [str(picture)] if images else []
    main(["fit", "--config", "own.yaml", *(f"--data.images={path}" for path in pictures)])
    (folder,) = (tmp_path / "logs" / "search").iterdir()
    rows = read_results(folder / "prompts.jsonl")
    assert rows
    with (folder / "prompts.csv").open() as file:
        table = [*csv.DictReader(file)]
    assert [row["prompt"] for row in table] == [safe_cell(row.prompt) for row in rows]
    assert list(folder.glob("events.out.tfevents.*"))
    often = [
        callback["init_args"]["every_n_train_steps"] <= 2
        for callback in config["trainer"]["callbacks"]
        if callback["class_path"] == "ModelCheckpoint"
    ]
    assert list((folder / "checkpoints").glob("*.ckpt")) or not all(often)
    # A long prompt is wrapped in the table.
    assert rows[0].prompt.split()[0] in capsys.readouterr().out
    main(["test", "--run", str(folder)])
    with (folder / "evaluation.csv").open() as file:
        (found,) = (row for row in csv.DictReader(file) if row["captions"] == "found")
    assert math.isfinite(float(found["objective"]))
    assert float(found["targets"]) == len({row.target for row in rows})
    main(["predict", "--run", str(folder), "--out", "out.jsonl"])
    assert read_results(Path("out.jsonl")) == rows


@pytest.mark.slow
def test_saved_config_and_checkpoint_go_on_where_a_run_stopped(models, picture, tmp_path, double):
    config = with_small_models(CONFIGS[0].parent / "caption_image.yaml", models)
    config["model"]["init_args"] |= {"steps": 4, "batch_size": 4, "gradient_samples": 2}
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(config))
    words = ["fit", "--config", str(own), "--data.images", str(picture)]
    main(words)
    main([*words, "--trainer.max_steps", "2"])
    logs = tmp_path / "logs" / "search"
    (checkpoint,) = (logs / "version_1" / "checkpoints").glob("*.ckpt")
    saved = str(logs / "version_1" / "config.yaml")
    main(["fit", "--config", saved, "--trainer.max_steps", "-1", "--ckpt_path", str(checkpoint)])
    whole, rest = (
        [
            {**json.loads(line), **SHARED}
            for line in (logs / f"version_{number}" / "prompts.jsonl").read_text().splitlines()
        ]
        for number in (0, 2)
    )
    assert rest == close(whole)
    assert len(whole) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGBA", "L", "1x1", "huge", "rotated"])
def test_real_pictures_go_through_the_whole_run(mode, models, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "picture.png"
    match mode:
        case "RGBA":
            image = Image.fromarray(rng.integers(0, 255, (60, 50, 4), dtype=np.uint8), "RGBA")
        case "L":
            image = Image.fromarray(rng.integers(0, 255, (60, 50), dtype=np.uint8))
        case "1x1":
            image = Image.new("RGB", (1, 1), "red")
        case "huge":
            image = Image.new("RGB", (6000, 5000), "blue")
        case _:
            image = Image.new("RGB", (60, 30), "green")
            path = tmp_path / "picture.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, **({"exif": exif} if mode == "rotated" else {}))
    terms = [
        {"class_path": "Fluency", "init_args": {"model": models["gpt2"]}},
        {"class_path": "ImageSimilarity", "init_args": {"model": models["clip"], "weight": 5}},
    ]
    own = tmp_path / "own.yaml"
    model = {"class_path": "AutoDAN", "init_args": {"terms": terms, "steps": 2, "batch_size": 4}}
    own.write_text(yaml.safe_dump({"model": model, "data": {"class_path": "ImageTargets"}}))
    main(["fit", "--config", str(own), "--data.images", str(path)])
    assert (tmp_path / "logs" / "search" / "version_0" / "prompts.jsonl").read_text().strip()


def outcome(name, data=None, **options):
    """What a configuration finds with the zoo, by a narrow search."""
    config = yaml.safe_load((CONFIGS[0].parent / f"{name}.yaml").read_text())
    config["model"]["init_args"] |= options
    config["data"]["init_args"] |= data or {}
    grows = config["model"]["class_path"] == "AutoDAN"
    beam = {"class_path": "BeamSearch", "init_args": {"beam_width": 3}}
    config["trainer"] = {
        "callbacks": [beam if grows else {"class_path": "HistorySearch"}],
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
    }
    Path("own.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "own.yaml", "--overwrite"])
    return read_results(Path("prompts.jsonl"))


def test_blocked_words_are_not_said():
    (row,) = outcome("block_list", {"limit": 1}, steps=12)
    assert not re.search("star|square|circle|triangle|cross|pair", row.prompt, re.IGNORECASE)
    assert len(row.prompt.split()) > 3


@pytest.mark.slow
def test_a_negative_weight_repels():
    terms = yaml.safe_load((CONFIGS[0].parent / "negative_prompt.yaml").read_text())
    terms = terms["model"]["init_args"]["terms"]
    # What the scene shows.
    terms[2]["init_args"]["text"] = "An image of a couple of large blue crosses"
    found = []
    for weight in (-2, 0.001):
        terms[2]["init_args"]["weight"] = weight
        found += outcome("negative_prompt", {"limit": 1}, steps=9, terms=terms)
    assert found[0].losses["repel"] > found[1].losses["repel"] + 0.1


def test_a_ratio_sets_the_length():
    (row,) = outcome("distill", steps=4, length_ratio=0.3)
    config = yaml.safe_load((CONFIGS[0].parent / "distill.yaml").read_text())
    model = CLIP("zoo/clip")
    model.load()
    text = config["data"]["init_args"]["texts"]
    whole = model.tokenizer(text, add_special_tokens=False).input_ids
    assert len(row.ids) == round(0.3 * len(whole))


def test_pictures_together_share_one_prompt():
    (row,) = outcome("style", steps=3)
    assert row.target == "together"
