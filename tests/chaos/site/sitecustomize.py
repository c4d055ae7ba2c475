"""Python imports this at its start: a command that starts anew gets the hook that ends it."""

from tests.chaos.hook import install

install()
