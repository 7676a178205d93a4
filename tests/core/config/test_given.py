"""given.yaml has what yaml files and options contained, in a form that gives the same tree."""

import pytest

from project.core.config.given import given_yaml
from project.core.config.references import ReferenceResolver
from project.core.config.yaml_files import PlainScalar, merge_all, parse_untyped

TEXTS = [
    "a: 010\nb: '8'\nc: 1e-3\nd: '1e-3'\ne: yes\nf: 'yes'\ng: null\nh: 12:30\ni: 2020-01-01\nj: .inf\n",
    "name: x\nvars: {size: 8}\nmodel: {net: {width: ${vars.size}, depth: '${vars.size}', text: a ${name} b}}\n",
    "a: $${not.one}\nb: ${env:HOME,a, b}\nc: '${name}: #'\nname: x\n",
    f"name: x\na: {'long words ' * 30}${{name}} b\nb: |\n  one\n  two\n",
    "a: [1, '1', [2, {b: 3}]]\n1: {yes: x}\nshared: &x {y: [1]}\nother: *x\n",
    "a: \"quote ' and \\\" and \\\\ and \\t\"\nb: größe\nc: '- x'\nd: ''\ne: []\nf: {}\n",
]


def kinds(value: object) -> object:
    """Return a tree with the type of each value that matters later: PlainScalar, or another."""
    if isinstance(value, dict):
        return {str(key): kinds(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(kinds, value))
    return isinstance(value, PlainScalar), value


@pytest.mark.parametrize("text", TEXTS)
def test_tree_is_read_again_as_it_was(text: str) -> None:
    """Numbers stay unquoted, texts quoted, references as they were written."""
    tree = parse_untyped(text, "")
    assert kinds(parse_untyped(given_yaml(tree, {}), "")) == kinds(tree)


def test_list_to_which_a_reference_was_appended_keeps_its_items() -> None:
    """As an item of a list, the reference would be a list in a list."""
    first = parse_untyped("vars: {more: [b, 8], text: x}\nlist: [a]\n", "")
    tree = merge_all([first, parse_untyped("list+: ${vars.more}\n", ""), parse_untyped("list+: ['$${c}']\n", "")])
    resolved = ReferenceResolver(tree).resolve()
    again = parse_untyped(given_yaml(tree, resolved), "")
    assert kinds(ReferenceResolver(again).resolve()) == kinds(resolved)
    assert resolved["list"] == ["a", "b", "8", "${c}"]
