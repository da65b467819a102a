"""Passwords and keys in addresses are never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.cli.main import main
from fuse_lightning.utilities.addresses import shown, without_secrets


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://user:PW@host/a.png?token=K", "https://host/a.png"),
        ("image 'https://user:PW@host/a.png?token=K' is", "image 'https://host/a.png' is"),
        ("https://user:P/W@host/a.png", "https://host/a.png"),
        ("https://user:P@W@host/a.png", "https://host/a.png"),
        ("s3://TOKEN@bucket/a", "s3://bucket/a"),
        ("https://host/a#token=K", "https://host/a"),
        ("https://host/@name/a.png", "https://host/@name/a.png"),
        ('["http://u:PW@h/x", "http://h/y?k=K"]', '["http://h/x", "http://h/y"]'),
        ("no http:/u:PW@host/a, no ftp://u:P?W@h", "no http:/host/a, no ftp://h"),
        ("http://host:80/a and C:/a/@b?.png", "http://host:80/a and C:/a/@b?.png"),
        ("a b: c@d? #e", "a b: c@d? #e"),
        ("hub:user/name@train", "hub:user/name@train"),
    ],
)
def test_addresses_are_shown_without_their_secrets(text, wanted):
    assert without_secrets(text) == wanted


@pytest.mark.parametrize("quote", ["'", '"', " "])
@given(parts=st.lists(st.sampled_from(["http", "s3", ":", "//", "/", "@", "?", "#", "a", "7"])))
def test_a_text_and_an_address_alone_are_cut_alike(quote, parts):
    address = f"https://{''.join(parts)}"
    assert without_secrets(f"see {quote}{address}{quote} now") == (
        f"see {quote}{shown(address)}{quote} now"
    )


ADDRESS = "https://user:SECRET@host/a.png?token=SECRET"


@pytest.mark.parametrize(
    "option",
    ["--data.images", "--data.limit", "--bogus", "--ckpt_path", "--config", "--resume", "--model"],
)
def test_no_error_of_the_command_line_tells_them(option, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fuse"])
    words = ["--model=AutoDAN", "--model.terms=[]", "--data=ImageTargets", "--data.images=a.png"]
    with pytest.raises(SystemExit, match="2"):
        main(["fit", *words, option, ADDRESS])
    output = capsys.readouterr()
    assert "SECRET" not in output.out + output.err
    with pytest.raises(SystemExit, match="2"):
        main(["invert", ADDRESS])
    assert "SECRET" not in capsys.readouterr().err
