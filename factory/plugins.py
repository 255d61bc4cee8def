"""What a recipe or a command line names as `package.module:name`, loaded.

The name is that of a class or a function of an installed package; called, it makes the object that
is wanted. Who asks for it says with what it is called and which protocol the object must meet. What
travels to a worker is the name and never the object.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from schemas.plugins import is_plugin, spelled_out


class PluginError(ValueError):
    """A plug-in that cannot be used; the message names the key and says what is missing."""


def load(name: str, key: str) -> Callable[..., Any]:
    """The class or function that a key names.

    Args:
        name: `package.module:name`, or a word that stands for one at this key.
        key: of the recipe, as `evaluate.oracle`, or an argument, as `--judge`; every error begins
            with it.

    Raises:
        PluginError: no name of that form, no such module, nothing of that name in it, or nothing
            that can be called.
    """
    full_name = spelled_out(name, key)
    if not is_plugin(full_name):
        raise PluginError(f"{key}: {name!r} is not of the form package.module:name")
    module_name, _, attribute = full_name.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise PluginError(
            f"{key}: {name!r}: cannot be loaded: {error}; "
            "give package.module:name of an installed package"
        ) from error
    if not hasattr(module, attribute):
        raise PluginError(
            f"{key}: {name!r}: cannot be loaded: {module_name} has no {attribute!r}; "
            "give the name of a class or function in it"
        )
    found = getattr(module, attribute)
    if not callable(found):
        raise PluginError(
            f"{key}: {name!r}: cannot be called: {attribute!r} is of type {type(found).__name__}; "
            "give the name of a class or function"
        )
    maker: Callable[..., Any] = found
    return maker


def make(name: str, key: str, protocol: type, *arguments: object) -> Any:
    """What the class or function that a key names makes of some arguments.

    Args:
        name: as of `load`.
        key: likewise.
        protocol: whose methods and properties it must have; annotate the result with it.
        *arguments: of the class or function.

    Raises:
        PluginError: as `load`, or what it makes lacks something of the protocol. An exception of
            the class or function itself comes through.
    """
    made = load(name, key)(*arguments)
    wanted = [one for one in dir(protocol) if one == "__call__" or not one.startswith("_")]
    missing = [one for one in wanted if not hasattr(made, one)]
    if missing:
        raise PluginError(
            f"{key}: {name!r}: makes a thing of type {type(made).__name__}, no "
            f"{protocol.__name__}: it has no {', '.join(missing)}"
        )
    return made
