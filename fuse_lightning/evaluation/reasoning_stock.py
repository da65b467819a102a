"""Stock of reasoning instructions that name no task."""

STEP_BY_STEP = "Let's think step by step."
"""Instruction of zero-shot reasoning (arXiv 2205.11916)."""
PUBLISHED_START = (
    "Use proper logical reasoning and think step by step. Finally give the actual correct answer."
)
"""Prompt with which every published search of GReaTer begins (arXiv 2412.09722)."""
STOCK = (
    "Think step by step, then give the answer.",
    "Let's work this out in a step by step way to be sure we have the right answer.",
    "Take a deep breath and work on this problem step-by-step.",
    PUBLISHED_START,
    "Explain your reasoning, then state the final answer.",
    "First list what is known, then draw the conclusion.",
    "Break the problem into smaller steps and solve them one at a time.",
    "Check each step before the next one, then answer.",
    "Think carefully about what is asked.",
    "Solve the problem and state the answer at the end.",
    "Answer in one short sentence.",
    "Give the answer only.",
    "Be brief and precise.",
    "What is the answer?",
    "Answer with one of: {labels}.",
    "Reason first. Then choose one of {labels}.",
)
"""Instructions that name no task, of three papers (arXiv 2211.01910, 2309.03409, 2412.09722) and
such as anybody would try first; ``{labels}`` stands for the labels."""
