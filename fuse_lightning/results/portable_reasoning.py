"""A found prompt for questions in the formats of other tools."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fuse_lightning.results.portable import Part, nunjucks, template

FILES = (
    "prompt.txt",
    "prompt.template.txt",
    "chat.json",
    "gepa.json",
    "reasoning.json",
    "lm_eval.yaml",
    "lm_eval.jsonl",
)
"""Names of the files of one prompt."""
TARGET = "fuse_target"
"""Field of the right answer in the questions for lm-eval."""
NUMBER = r"-?\$?\d[\d,]*(?:\.\d+)?"
LETTER = r"(?i:answer|option|choice)(?: is|:)?[\s*$(]*([A-Z])\b|\(([A-Z])\)"
YES_NO = r"(?i)\b(?:yes|no|true|false)\b"


@dataclass(frozen=True)
class PortableReasoning:
    """A prompt for questions with all that other tools need to use it.

    Attributes:
        name: Name of the task.
        prompt: Text of the prompt.
        form: All that the model reads before its chain.
        turns: Role and content of each turn of a chat; ``None`` where the layout is one text.
        extractor: Text between chain and answer.
        kind: Kind of the answers, such as "number".
        labels: Words of each label of a closed set; empty for open answers.
        limits: Limits of what the model writes, by name.
        examples: Test questions: texts by field, and the right answer as ``label``.
    """

    name: str
    prompt: str
    form: Sequence[Part]
    turns: Sequence[tuple[str, Sequence[Part]]] | None
    extractor: str
    kind: str
    labels: Mapping[str, Sequence[str]]
    limits: Mapping[str, float]
    examples: Sequence[Mapping[str, Any]] = ()

    def files(self) -> dict[str, str]:
        """Content of each file, by its name; none of lm-eval where it cannot tell the answers."""
        turns = self.turns or [("user", self.form)]
        chat = [{"role": role, "content": template(parts, self.prompt)} for role, parts in turns]
        found = {
            "prompt.txt": self.prompt,
            "prompt.template.txt": template(self.form, self.prompt),
            "chat.json": _json(chat),
            "gepa.json": _json({"system_prompt": self.prompt}),
            "reasoning.json": _json(self.told()),
        }
        task = self.lm_eval()
        if task is not None and self.examples:
            rows = [{**example, TARGET: self.asked(example)} for example in self.examples]
            found["lm_eval.yaml"] = yaml.safe_dump(task, sort_keys=False, allow_unicode=True)
            found["lm_eval.jsonl"] = "".join(
                f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows
            )
        return found

    def told(self) -> dict[str, Any]:
        """How the model is asked, and how its answer is read, as plain data."""
        return {
            "prompt": self.prompt,
            "template": template(self.form, self.prompt),
            "extractor": self.extractor,
            "answer": self.kind,
            "labels": {label: [*words] for label, words in self.labels.items()},
            **self.limits,
        }

    def asked(self, example: Mapping[str, Any]) -> str:
        """Right answer of an example as the model writes it: the first word of its label."""
        right = str(example["label"])
        return next(iter(self.labels.get(right, ())), right)

    def lm_eval(self) -> dict[str, Any] | None:
        """Task of lm-eval (0.4) that reads the last answer of each chain by a regular expression.

        ``None`` where no such expression tells the answers, or the layout is a chat that lm-eval
        does not lay out.
        """
        pattern = answer_pattern(self.kind, [words[0] for words in self.labels.values() if words])
        texts = {role: nunjucks(parts, self.prompt) for role, parts in self.turns or ()}
        roles = [role for role, _ in self.turns or ()]
        if pattern is None or roles not in ([], ["user"], ["system", "user"]):
            return None
        return {
            "task": self.name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": "lm_eval.jsonl"}},
            "test_split": "test",
            "output_type": "generate_until",
            **({"description": texts["system"]} if "system" in texts else {}),
            "doc_to_text": texts.get("user") or nunjucks(self.form, self.prompt),
            "doc_to_target": f"{{{{ {TARGET} }}}}",
            "generation_kwargs": {
                "until": [],
                "do_sample": False,
                "max_gen_toks": int(self.limits["max_chain_tokens"]),
            },
            "filter_list": [
                {
                    "name": "last-answer",
                    "filter": [
                        {"function": "regex", "regex_pattern": pattern, "group_select": -1},
                        {"function": "take_first"},
                    ],
                }
            ],
            "metric_list": [
                {
                    "metric": "exact_match",
                    "aggregation": "mean",
                    "higher_is_better": True,
                    "ignore_case": True,
                    "regexes_to_ignore": [",", r"\$", r"[()]", r"\.0*$"],
                }
            ],
            "metadata": {"version": 1.0},
        }


def answer_pattern(kind: str, words: Sequence[str]) -> str | None:
    r"""Regular expression of one answer of a kind; ``None`` where there is none.

    Args:
        kind: Kind of the answers.
        words: A word of each label; none for open answers.

    >>> re.findall(answer_pattern("number", []), "3 + 1,199 is $1,202.")[-1]
    '$1,202'
    >>> re.findall(answer_pattern("word", ["valid", "invalid"]), "It is invalid.")
    ['invalid']
    >>> answer_pattern("list", []) is None
    True
    """
    if kind == "number":
        return NUMBER
    if kind == "choice":
        return LETTER
    if words and kind in ("word", "yes_no"):
        # The longest first, as one word may begin another.
        return rf"(?i)\b(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})\b"
    return YES_NO if kind == "yes_no" else None


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
