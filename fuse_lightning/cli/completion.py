"""``fuse completion``: a script that completes commands, names and options in a shell."""

from typing import Literal, get_args

from fuse_lightning.cli.completion_words import Words, completion_words
from fuse_lightning.cli.help import usage
from fuse_lightning.errors import FuseError

Shell = Literal["bash", "zsh", "fish"]
SHELLS = get_args(Shell)
BASH = """_fuse() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words= names=
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$cur"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  # Bash takes the part in front of a = for a word of its own.
  case "$cur" in
  -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
  *) case "$before" in
{values}
    *) if [ "$COMP_CWORD" = 2 ]; then COMPREPLY=($(compgen -W "$names" -- "$cur")); fi ;;
    esac ;;
  esac
}}
complete -o default -F _fuse fuse
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def command(words: list[str]) -> None:
    """Prints the script.

    Raises:
        FuseError: If the shell is none of those that have a script.
    """
    if {"-h", "--help"} & {*words[1:]}:
        print(*usage("completion"), sep="\n")
        return
    if len(words) != 2 or words[1] not in SHELLS:
        asked = " ".join(words[1:])
        raise FuseError(
            f"fuse completion {asked!r} names no shell; give one of {', '.join(SHELLS)}, such as: "
            "fuse completion bash >> ~/.bash_completion"
        )
    print(script(words[1], completion_words(SHELLS)), end="")


def script(shell: str, words: Words) -> str:
    """Completion script of a shell.

    Args:
        shell: One of :data:`Shell`.
        words: What is completed.
    """
    if shell == "fish":
        return "\n".join([*_fish(words), ""])
    cases = "\n".join(
        f'  {name}) words="{" ".join(words.options.get(name, ()))}" '
        f'names="{" ".join(words.names.get(name, ()))}" ;;'
        for name in words.commands
    )
    values = "\n".join(
        f'    {"|".join(flags)}) COMPREPLY=($(compgen -W "{" ".join(words.values[flags])}" '
        '-- "$cur") $(compgen -f -- "$cur")) ;;'
        for flags in words.values
    )
    text = BASH.format(commands=" ".join(words.commands), cases=cases, values=values)
    return (ZSH if shell == "zsh" else "") + text


def _fish(words: Words) -> list[str]:
    lines = [f"complete -c fuse -n __fish_use_subcommand -xa '{' '.join(words.commands)}'"]
    for name in words.commands:
        seen = f"complete -c fuse -n '__fish_seen_subcommand_from {name}'"
        if names := words.names.get(name):
            lines.append(f"{seen} -xa '{' '.join(names)}'")
        for word in words.options.get(name, ()):
            flag = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
            taken = next((words.values[each] for each in words.values if word in each), None)
            lines.append(f"{seen} {flag}" + (f" -ra '{' '.join(taken)}'" if taken else ""))
    return lines
