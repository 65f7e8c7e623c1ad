"""How the pages are built: ``make docs``. Every warning is an error, so a link or a name that leads nowhere is one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# The reference imports Airflow, which writes a configuration file where it finds none.
os.environ.setdefault("AIRFLOW_HOME", str(ROOT / "build" / "airflow"))

from airflow_provider_mps import __version__  # noqa: E402 - found by the path above

project = "airflow-provider-mps"
project_copyright = "The authors of airflow-provider-mps. Apache License 2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "model_config"}
# What a method inherits of its docstring is about Airflow.
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"airflow-provider-mps {release}"
# The longest name of an operator fits into a line.
html_theme_options = {"light_css_variables": {"sidebar-item-font-size": "80%"}}
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp"
