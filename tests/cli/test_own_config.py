"""What a run's own configuration says, so that another run may be started with it anywhere."""

from pathlib import Path

import yaml

from fuse_lightning.cli.own_config import own_config


def kept(earlier=None, **config):
    before = None
    if earlier is not None:
        before = Path("before.yaml")
        before.write_text(yaml.safe_dump({"trainer": earlier}))
    whole = {"trainer": {}, "ckpt_path": "a.ckpt", **config}
    text = own_config(f"# lightning.pytorch==1\n{yaml.safe_dump(whole)}", before)
    assert text.startswith("# lightning.pytorch==1\n")
    return yaml.safe_load(text)


def data(**options):
    return {"class_path": "Data", "init_args": options}


def test_relative_paths_become_absolute_and_all_else_stays(tmp_path):
    for name in ("pics", "zoo/gpt2", "own", "vocabulary", "a text"):
        Path(name).mkdir(parents=True)
    Path("pics/a.png").touch()
    Path("texts.txt").touch()
    images = ["pics", "pics/*.png", "gone.png", "/abs/a.png", "hub:a/b", "https://host/a.png"]
    terms = [{"init_args": {"model": name, "prefix": "own"}} for name in ("own", "zoo/gpt2", "a/b")]
    model = {"init_args": {"terms": terms, "adapter": {"words": "vocabulary", "cache_dir": "c"}}}
    found = kept(data=data(images=images, texts=["texts.txt", "a text"], root=None), model=model)
    here = str(tmp_path)
    expected = [f"{here}/pics", f"{here}/pics/*.png", *images[2:]]
    texts = [f"{here}/texts.txt", "a text"]
    assert found["data"]["init_args"] == {"images": expected, "texts": texts, "root": here}
    options = found["model"]["init_args"]
    assert [term["init_args"]["model"] for term in options["terms"]] == [
        f"{here}/own",
        "zoo/gpt2",
        "a/b",
    ]
    assert options["terms"][0]["init_args"]["prefix"] == "own"
    assert options["adapter"] == {"words": "vocabulary", "cache_dir": f"{here}/c"}
    assert found["ckpt_path"] is None


def test_sources_are_relative_to_the_root(tmp_path):
    Path("there/pics").mkdir(parents=True)
    found = kept(data=data(images="pics", root="there"))
    root = f"{tmp_path}/there"
    assert found["data"]["init_args"] == {"images": f"{root}/pics", "root": root}


def test_a_root_in_the_home_folder_is_no_folder_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = kept(data=data(images="pics", root="~/here"))
    assert found["data"]["init_args"]["root"] == f"{tmp_path}/home/here"


def test_where_a_run_goes_on_is_no_setting_of_its():
    own = {"logger": {"init_args": {"save_dir": "logs", "version": None}}, "default_root_dir": None}
    placed = {"logger": {"init_args": {"save_dir": "/run", "version": "version_0"}}, "devices": 2}
    found = kept(earlier=own, trainer=placed)
    version = found["trainer"]["logger"]["init_args"]["version"]
    assert (version, found["trainer"]["devices"]) == (None, 2)
