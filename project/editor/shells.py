"""Scripts that complete the command line in bash, zsh and fish.

They need no package: shtab writes such scripts only for argparse, which cli.py does not use, and argcomplete starts
Python, and so imports torch, whenever words are completed.
"""

from collections.abc import Callable

from project.editor.words import Words

# NAME is the name of the package, TABLES the words. `python cli.py` and `python -m NAME` are completed as NAME is;
# other uses of python are completed with files, as without this script.
_HEAD = """# Completion of `python cli.py` and `NAME`, written by `python cli.py completion SHELL`.
"""
_POSIX = """
_NAME_words() {
    case "$1" in
TABLES
    esac
}

# Whether a table has a word: _NAME_has TABLE WORD
_NAME_has() {
    case " $(_NAME_words "$1") " in *" $2 "*) return 0 ;; *) return 1 ;; esac
}

# Print the words that may follow: _NAME_candidates CURRENT COMMAND [WORD ...]; nothing where any file may.
_NAME_candidates() {
    local current="$1" before=""
    shift
    if [ $# -eq 0 ]; then
        _NAME_words commands
        return
    fi
    for before in "$@"; do :; done
    case "$before" in
        --*) _NAME_has flags "$before" || { _NAME_words "$before"; return; } ;;
    esac
    _NAME_words "$1"
    case "$current" in
        -*) if _NAME_has with_settings "$1"; then _NAME_words settings; fi ;;
    esac
}
"""
_BASH = """
_NAME() {
    local first=1 current="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    case "${COMP_WORDS[0]##*/}" in
        python*)
            if [ "${COMP_WORDS[1]##*/}" = cli.py ]; then first=2
            elif [ "${COMP_WORDS[1]-} ${COMP_WORDS[2]-}" = "-m NAME" ]; then first=3
            else return; fi ;;
    esac
    [ "$COMP_CWORD" -ge "$first" ] || return
    COMPREPLY=($(compgen -W "$(_NAME_candidates "$current" "${COMP_WORDS[@]:first:COMP_CWORD-first}")" -- "$current"))
}
complete -o default -F _NAME NAME python python3
"""
_ZSH = """
_NAME() {
    local first=2
    case "${words[1]:t}" in
        python*)
            if [ "${words[2]:t}" = cli.py ]; then first=3
            elif [ "$words[2] $words[3]" = "-m NAME" ]; then first=4
            else _files; return; fi ;;
    esac
    if (( CURRENT < first )); then _files; return; fi
    local -a found before
    before=("${(@)words[first,CURRENT-1]}")
    found=(${=${(f)"$(_NAME_candidates "${words[CURRENT]}" "${(@)before}")"}})
    compadd -a found || _files
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _NAME NAME python python3
"""
_FISH = """
function _NAME_words
    switch $argv[1]
TABLES
    end
end

function _NAME_is_called
    set -l words (commandline -opc)
    string match -qr '(^|/)cli\\.py$' -- "$words[2]"; or test "$words[2] $words[3]" = "-m NAME"
end

# Print the words that may follow; files where any may.
function _NAME_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -e words[1]
    if string match -qr '(^|/)cli\\.py$' -- "$words[1]"
        set -e words[1]
    else if test "$words[1]" = -m
        set -e words[1..2]
    end
    set -l found
    if test (count $words) -eq 0
        set found (_NAME_words commands)
    else if string match -q -- '--*' $words[-1]; and not contains -- $words[-1] (_NAME_words flags)
        set found (_NAME_words $words[-1])
    else
        set found (_NAME_words $words[1])
        if string match -q -- '-*' "$current"; and contains -- $words[1] (_NAME_words with_settings)
            set found $found (_NAME_words settings)
        end
        if not string match -q -- '-*' "$current"
            set found (string match -v -- '--*' $found)
        end
    end
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path "$current"
    end
end

complete -c NAME -f -a '(_NAME_candidates)'
complete -c python -c python3 -n _NAME_is_called -f -a '(_NAME_candidates)'
"""


def _posix_table(name: str, words: list[str]) -> str:
    return f'        {name}) echo "{" ".join(words)}" ;;'


def _fish_table(name: str, words: list[str]) -> str:
    return f"        case '{name}'\n            printf '%s\\n' {' '.join(words)}"


def _script(shell: str, template: str, table: Callable[[str, list[str]], str]) -> Callable[[str, Words], str]:
    def write(package: str, words: Words) -> str:
        """Return the script, given the name of the package and the words by table."""
        tables = "\n".join(table(name, each) for name, each in words.items())
        head = _HEAD.replace("SHELL", shell)
        return (head + template).replace("NAME", package).replace("TABLES", tables)

    return write


SHELLS = {
    "bash": _script("bash", _POSIX + _BASH, _posix_table),
    "zsh": _script("zsh", _POSIX + _ZSH, _posix_table),
    "fish": _script("fish", _FISH, _fish_table),
}
