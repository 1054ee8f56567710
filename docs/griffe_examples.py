"""Shows the examples of docstrings as code: the headline `Example:` is read as Griffe's `Examples:`."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames the headline in every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the headline of an object's docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
