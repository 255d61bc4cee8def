"""What a recipe or a command line names as `package.module:name`, loaded.

The name is that of a class or function (or, where that is asked for, of an object) of an installed
package, or of a module in the folder in which the command runs. A class or function is called and
makes the object that is wanted. Who asks for it says with what it is called and which protocol the
object must meet. What travels to a worker is the name and never the object.

The code behind a name is somebody else's and may fail in any way: each failure becomes one error
that names the key, the name and the line.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from schemas.plugins import is_plugin, spelled_out


class PluginError(ValueError):
    """A plug-in that cannot be used; the message names the key and says what is missing."""


def find(name: str, key: str) -> Any:
    """What a key names, as it stands in its module.

    Args:
        name: `package.module:name`, or a word that stands for one at this key.
        key: of the recipe, as `evaluate.oracle`, or an argument, as `--judge`; every error begins
            with it.

    Raises:
        PluginError: no name of that form, no such module, one that fails while it is imported, or
            nothing of that name in it.
    """
    full_name = spelled_out(name, key)
    if not is_plugin(full_name):
        raise PluginError(f"{key}: {name!r} is not of the form package.module:name")
    module_name, _, attribute = full_name.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise PluginError(
            f"{key}: {name!r}: cannot be loaded: {error}; give package.module:name of an installed "
            "package, or of a module in the folder in which the command runs"
        ) from error
    except Exception as error:
        raise PluginError(f"{key}: {name!r}: cannot be loaded: {_told(error)}") from error
    if not hasattr(module, attribute):
        raise PluginError(
            f"{key}: {name!r}: cannot be loaded: {module_name} has no {attribute!r}; "
            "give the name of something in it"
        )
    return getattr(module, attribute)


def load(name: str, key: str) -> Callable[..., Any]:
    """The class or function that a key names.

    Args:
        name: as of `find`.
        key: likewise.

    Raises:
        PluginError: as `find`, or it cannot be called.
    """
    found = find(name, key)
    if not callable(found):
        raise PluginError(
            f"{key}: {name!r}: cannot be called: {name.partition(':')[2]!r} is of type "
            f"{type(found).__name__}; "
            "give the name of a class or function"
        )
    maker: Callable[..., Any] = found
    return maker


def make(name: str, key: str, protocol: type, *arguments: object) -> Any:
    """What the class or function that a key names makes of some arguments.

    Args:
        name: as of `find`.
        key: likewise.
        protocol: whose methods and properties it must have; annotate the result with it.
        *arguments: of the class or function.

    Raises:
        PluginError: as `load`, the class or function fails, or what it makes lacks something of the
            protocol.
    """
    maker = load(name, key)
    try:
        made = maker(*arguments)
    except Exception as error:
        raise PluginError(
            f"{key}: {name!r}: cannot be made of {len(arguments)} argument(s): {_told(error)}"
        ) from error
    wanted = [one for one in dir(protocol) if one == "__call__" or not one.startswith("_")]
    missing = [one for one in wanted if not hasattr(made, one)]
    if missing:
        raise PluginError(
            f"{key}: {name!r}: makes a thing of type {type(made).__name__}, no "
            f"{protocol.__name__}: it has no {', '.join(missing)}"
        )
    return made


def one_line(text: str) -> str:
    """Text of somebody else's code as a row can hold it: one line of printable characters."""
    return "".join(one if one.isprintable() else " " for one in text)[:_MAX_LINE]


_MAX_LINE = 500  # characters


def _told(error: Exception) -> str:
    """An exception, with the line at which it was raised where that is not ours."""
    told = one_line(f"{type(error).__name__}: {error}")
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename == __file__ or isinstance(error, SyntaxError):  # which names its own line
        return told
    return f"{told} ({last.filename}, line {last.lineno})"
