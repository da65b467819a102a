import json

from fuse_lightning.diffing.finding import Finding


def test_a_finding_is_json():
    found = Finding("token", "A writes ' red' more often.", 0.5, "nats", 0.4, 0.6, 0.01, 9, 0.0)
    assert json.loads(json.dumps(found.to_dict()))["effect"] == 0.5
