import pytest

from fuse_lightning.cli.main import main


@pytest.fixture
def fit(monkeypatch, capsys):
    """Runs ``fuse fit --config run.yaml``; gives its exit code and the lines of its errors.

    ``fit.printed`` has the lines of its output.
    """
    # Lightning warns about words of a process that are not the ones it is given.
    monkeypatch.setattr("sys.argv", ["fuse"])

    def run(*words):
        code = 0
        try:
            main(["fit", "--config", "run.yaml", *words])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        run.printed = captured.out.splitlines()
        return code, captured.err.splitlines()

    return run


@pytest.fixture
def decode(monkeypatch, capsys):
    """Runs ``fuse decode``; gives its exit code, and the lines of its output and its errors."""
    monkeypatch.setattr("sys.argv", ["fuse"])

    def run(*words):
        code = 0
        try:
            main(["decode", *words])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run
