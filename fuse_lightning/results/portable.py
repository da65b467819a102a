"""A found prompt for labelled examples in the formats of other tools."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

FILES = (
    "prompt.txt",
    "prompt.template.txt",
    "chat.json",
    "dspy.json",
    "gepa.json",
    "promptfoo.yaml",
)
"""Names of the files of one prompt."""
MOST_TESTS = 100
"""Most examples that become tests of promptfoo."""
PROMPT, LABEL = "prompt", "label"
MARKS = ("{{", "{%", "{#")
"""Beginnings of what a template engine replaces."""
ADDRESSES = ("file://", "package:")
"""Beginnings of a value that promptfoo loads from elsewhere."""


class Part(NamedTuple):
    """Part of a text: literal text, or a field.

    Attributes:
        text: The literal text; empty for a field.
        name: Name of the field, ``prompt`` or one of an example; empty for a text.
    """

    text: str = ""
    name: str = ""


@dataclass(frozen=True)
class Portable:
    """A prompt with all that other tools need to use it.

    Attributes:
        prompt: Text of the prompt.
        form: All that the model reads before its answer.
        turns: Role and content of each turn of a chat; ``None`` where the layout is one text.
        words: Words of each class, by its name.
        examples: Test examples: texts by field, and the class as ``label``.
    """

    prompt: str
    form: Sequence[Part]
    turns: Sequence[tuple[str, Sequence[Part]]] | None
    words: Mapping[str, Sequence[str]]
    examples: Sequence[Mapping[str, Any]] = ()

    @property
    def fields(self) -> list[str]:
        """Names of an example's fields, in the order of the layout."""
        names = (part.name for part in self.form)
        return [*dict.fromkeys(name for name in names if name not in ("", PROMPT))]


def files(portable: Portable) -> dict[str, str]:
    """Content of each file, by its name; no ``promptfoo.yaml`` where there are no test examples."""
    found = {
        "prompt.txt": portable.prompt,
        "prompt.template.txt": template(portable.form, portable.prompt),
        "chat.json": _json(chat(portable)),
        "dspy.json": _json(dspy(portable)),
        "gepa.json": _json({"system_prompt": portable.prompt}),
    }
    if portable.examples:
        told = promptfoo(portable)
        found["promptfoo.yaml"] = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    return found


def template(parts: Sequence[Part], prompt: str) -> str:
    """Text for Python's ``str.format`` with a prompt in its place, and fields left open.

    >>> parts = [Part(name="prompt"), Part(text=" {"), Part(name="text"), Part(text="} It was")]
    >>> print(template(parts, "mood:"))
    mood: {{{text}}} It was
    """
    return _filled(
        parts, prompt, lambda text: text.replace("{", "{{").replace("}", "}}"), "{{{}}}".format
    )


def nunjucks(parts: Sequence[Part], prompt: str) -> str:
    """Template of Nunjucks and Jinja with a prompt in its place, and fields left open.

    >>> print(nunjucks([Part(name="prompt"), Part(text=" "), Part(name="text")], "a {b}"))
    a {{ "{" }}b} {{ text }}
    """
    return _filled(
        parts, prompt, lambda text: text.replace("{", '{{ "{" }}'), "{{{{ {} }}}}".format
    )


def _filled(
    parts: Sequence[Part],
    prompt: str,
    escape: Callable[[str], str],
    field: Callable[[str], str],
) -> str:
    return "".join(
        field(part.name)
        if part.name not in ("", PROMPT)
        else escape(prompt if part.name else part.text)
        for part in parts
    )


def chat(portable: Portable) -> list[dict[str, str]]:
    """Messages as chat models take them; each content is a text for Python's ``str.format``.

    A layout that is one text is one message of the user.
    """
    turns = portable.turns or [("user", portable.form)]
    return [{"role": role, "content": template(parts, portable.prompt)} for role, parts in turns]


def dspy(portable: Portable) -> dict[str, Any]:
    """State of a ``dspy.Predict`` from an example's fields to its label.

    The prompt is the signature's instructions; the label is described by the first word of each
    class. The format is that of DSPy 3.
    """
    answers = ", ".join(words[0] for words in portable.words.values())
    about = {name: f"${{{name}}}" for name in portable.fields} | {LABEL: f"one of: {answers}"}
    fields = [
        {"prefix": f"{name.replace('_', ' ').capitalize()}:", "description": text}
        for name, text in about.items()
    ]
    return {
        "traces": [],
        "train": [],
        "demos": [],
        "signature": {"instructions": portable.prompt, "fields": fields},
        "lm": None,
        "metadata": {"dependency_versions": {}},
    }


def promptfoo(portable: Portable) -> dict[str, Any]:
    """Configuration of promptfoo: the prompt, and a test for each of up to 100 test examples.

    An example that promptfoo would read as a template or an address is left out.
    """
    fit = [each for each in portable.examples if _plain(each, portable.fields)]
    checks = _checks(portable.words)
    return {
        "description": "A found prompt on test examples, which took no part in the search",
        "prompts": [{"label": "found prompt", "raw": _raw(portable)}],
        "tests": [
            {
                "vars": {name: example[name] for name in portable.fields},
                # YAML would write a reference to an equal one.
                "assert": [deepcopy(checks[example[LABEL]])],
            }
            for example in fit[:MOST_TESTS]
        ],
    }


def _raw(portable: Portable) -> str:
    if portable.turns is not None:
        messages = [
            {"role": role, "content": nunjucks(parts, portable.prompt)}
            for role, parts in portable.turns
        ]
        return _json(messages)
    # A text of one line with a slash or a star in it would be taken for a path.
    return "{##\n#}" + nunjucks(portable.form, portable.prompt)


def _plain(example: Mapping[str, Any], fields: Sequence[str]) -> bool:
    texts = [str(example[name]) for name in fields]
    return not any(
        text.startswith(ADDRESSES) or any(mark in text for mark in MARKS) for text in texts
    )


def _checks(words: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Check of an answer for each class: that it holds a word of the class.

    Where a word lies in one of another class, or holds a brace, the answer must be the word.
    """
    lower = {name: [word.lower() for word in some] for name, some in words.items()}
    apart = not any(
        one in other
        for name, some in lower.items()
        for one in some
        for rival, others in lower.items()
        if rival != name
        for other in others
    )
    if apart and not any("{" in word for some in words.values() for word in some):
        return {name: {"type": "icontains-any", "value": [*some]} for name, some in words.items()}
    return {
        name: {"type": "regex", "value": rf"^\s*({'|'.join(map(re.escape, some))})[\s.]*$"}
        for name, some in words.items()
    }


def safe_name(name: str) -> str:
    """Name of a folder for a target, the same on every system and no other target's.

    >>> safe_name("moods"), safe_name("data/Moods.csv")
    ('moods', 'data_moods.csv-1586f259')
    """
    plain = re.sub(r"[^a-z0-9._-]+", "_", name.lower()).strip("._-")[:64]
    if name and plain == name:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}".lstrip("-")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
