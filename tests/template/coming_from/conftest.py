"""The fixture `reader`, of the tests of how-to pages."""

from tests.template.how_to.conftest import reader as reader
