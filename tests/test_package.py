"""What a user meets first: the console command, the README, lazy names."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from PIL import Image

import fuse_lightning
from fuse_lightning.cli.named_configs import shipped_configs
from fuse_lightning.inversion.settings import SETTINGS
from tests.factories.configs import short_search

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONFIG = ("--config", "run.yaml")


def readme_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="nothing"):
        fuse_lightning.nothing  # noqa: B018


@pytest.mark.parametrize("part", fuse_lightning.PARTS)
def test_names_of_a_part_are_names_of_the_package(part):
    for name, value in fuse_lightning.public_names(part).items():
        assert getattr(fuse_lightning, name) is value
        assert name in fuse_lightning.__all__
        assert name in dir(fuse_lightning)


def test_type_checkers_know_the_same_parts():
    tree = ast.parse(Path(fuse_lightning.__file__).read_text())
    stars = [
        node.module.removeprefix("fuse_lightning.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    ]
    assert sorted(stars) == sorted(fuse_lightning.PARTS)


RHYME = """
from fuse_lightning.objectives.fluency import Fluency


class Rhyme(Fluency):
    pass
"""


def test_a_term_of_the_package_takes_a_file_and_one_line(tmp_path):
    package = Path(fuse_lightning.__file__).parent
    weights = package / "zoo" / "weights"
    copy = tmp_path / "copy" / "fuse_lightning"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    (copy / "zoo" / "weights").symlink_to(weights)
    (copy / "objectives" / "rhyme.py").write_text(RHYME)
    with (copy / "objectives" / "__init__.py").open("a") as file:
        file.write("from fuse_lightning.objectives.rhyme import Rhyme as Rhyme\n")
    Image.effect_noise((32, 32), 90).save("a.png")
    config = short_search("a.png", 1, batch_size=2)
    config["model"]["init_args"]["terms"][0]["class_path"] = "Rhyme"
    Path("run.yaml").write_text(yaml.safe_dump(config))
    code = (
        "from fuse_lightning import Rhyme; from fuse_lightning.cli.main import main; "
        f"assert Rhyme.__module__ == 'fuse_lightning.objectives.rhyme'; main({['fit', *CONFIG]})"
    )
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    (line,) = Path("logs/search/version_0/prompts.jsonl").read_text().splitlines()[:1]
    assert "rhyme" in json.loads(line)["losses"]


def test_importing_the_package_and_asking_for_help_loads_no_torch():
    code = (
        "import sys, fuse_lightning as f, fuse_lightning.cli.main as c; c.main(['--help']); "
        "assert 'AutoDAN' in dir(f); "
        "sys.exit(bool({'torch', 'transformers', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "fuse fit --config" in done.stdout


def test_cli_file_and_module_are_the_console_command():
    for words in ([str(ROOT / "cli.py")], ["-m", "fuse_lightning"]):
        done = subprocess.run(
            [sys.executable, *words, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == f"fuse-lightning {fuse_lightning.__version__}"


def test_python_example_of_the_readme_runs(capsys):
    short, code = readme_blocks("python")
    assert len(code.strip().splitlines()) <= 14
    quick = re.sub(r"steps=28.*patience=5", "steps=2, batch_size=4, gradient_weight=0", code)
    assert quick != code
    exec(compile(quick, "README.md", "exec"), {})
    told = capsys.readouterr()
    assert told.out.strip()
    assert "params" not in told.out + told.err
    exec(compile(short.replace("top=1", "top=1, steps=1"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"scene-{n}" for n in range(4)]


def test_commands_of_the_readme_name_files_that_exist():
    for block in readme_blocks("bash"):
        for path in re.findall(r"(?:configs|benchmarks|docs)/[\w./-]+", block):
            assert (ROOT / path).exists(), path


def test_pages_name_configurations_of_the_package():
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        for name in re.findall(r"--config[= ]([\w./-]+)", page.read_text()):
            # A path is one of the reader's own files, and so is FILE.
            own = name.endswith(".yaml") or name.isupper()
            assert own or name in shipped_configs(), (page, name)
            assert not name.startswith("configs/"), (page, name)


def test_the_readme_begins_with_an_installation_for_users():
    (install, run) = readme_blocks("bash")[0].splitlines()
    assert (install, run) == ("pip install fuse-lightning", "fuse fit --config quickstart")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_to_files_and_headings(name):
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", (ROOT / name).read_text()):
        path, _, heading = link.partition("#")
        file = ROOT / (path or name)
        assert file.exists(), link
        if heading:
            lines = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}
            assert heading in anchors, link


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == fuse_lightning.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Source"]


def test_a_commit_is_checked_as_the_readme_says():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    commands = readme_blocks("bash")[-1]
    for hook in hooks:
        command = hook["entry"].removesuffix(" --force-exclude")
        assert f"{command} " in commands, command


def test_every_requirement_has_an_oldest_version_to_test():
    code = [sys.executable, str(ROOT / ".ci" / "floors.py")]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    pins = dict(line.split("==") for line in done.stdout.split())
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        if requirement.name != "torch":
            (oldest,) = (each for each in requirement.specifier if each.operator == ">=")
            assert pins[requirement.name] == oldest.version


def brought(requirements):
    """Names of the packages that an installation brings, with those that they bring in turn."""
    found, left = set(), [Requirement(each) for each in requirements]
    while left:
        each = left.pop()
        if each.name not in found and (each.marker is None or each.marker.evaluate({"extra": ""})):
            found.add(each.name)
            with suppress(PackageNotFoundError):
                left += map(Requirement, requires(each.name) or ())
    return found


def test_every_model_of_the_package_loads_without_an_extra():
    # The others are for whoever works on the package.
    extras = {
        Requirement(each).name
        for name, group in PROJECT["optional-dependencies"].items()
        if name not in ("dev", "docs")
        for each in group
    }
    missing = sorted(extras - brought(PROJECT["dependencies"]))
    assert "diffusers" in missing
    code = f"""
import sys
from importlib.machinery import PathFinder
class Present(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in {missing}:
            return super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Present
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.loading import zoo_names
for name in zoo_names():
    auto_model(f"zoo/{{name}}").load()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_packaged_data_is_declared():
    zoo = ROOT / "fuse_lightning" / "zoo"
    weights = sum(path.stat().st_size for path in (zoo / "weights").rglob("*") if path.is_file())
    assert 0 < weights < 12.2e6
    assert not [path for path in zoo.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


def test_the_readme_and_the_presets_search_as_the_quickstart_does():
    config = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
    options = config["model"]["init_args"]
    weight = options["terms"][1]["init_args"]["weight"]
    beam = config["trainer"]["callbacks"][0]["init_args"]
    _, code = readme_blocks("python")
    names = ("steps", "batch_size", "gradient_weight", "patience")
    search = f"Search({beam['beam_width']}, siblings={beam['siblings']})"
    for words in (f"weight={weight}", search, *(f"{n}={options[n]}" for n in names)):
        assert words in code
    zoo = SETTINGS["zoo"]
    assert (zoo.similarity, zoo.steps) == (weight, options["steps"])
    assert vars(zoo.caption) == beam | {name: options[name] for name in names if name != "steps"}


def test_the_preset_with_a_mood_searches_as_its_quickstart_does():
    config = yaml.safe_load((ROOT / "configs" / "quickstart_sentiment.yaml").read_text())
    options = config["model"]["init_args"]
    beam = config["trainer"]["callbacks"][0]["init_args"]
    mood = SETTINGS["zoo"].mood
    assert (mood.beam_width, mood.siblings) == (beam["beam_width"], beam.get("siblings"))
    assert (mood.patience, mood.batch_size) == (options["patience"], options["batch_size"])
