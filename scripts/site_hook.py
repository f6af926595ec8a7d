"""What MkDocs does beside its plugins when it builds the site (mkdocs.yml): two things.

Files of the repository outside of docs/ become pages: the changelog, and the examples with their notebooks. A link out of docs/,
which is right on GitHub, leads to these pages. And in docstrings, the roles of Sphinx become links.
"""

import json
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
ROLE = re.compile(r":(?:class|func|meth|mod):<code>~?(?P<name>[\w.]+)</code>")


def on_files(files, config):
    files.append(File.generated(config, "CHANGELOG.md", content=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    for path in sorted(ROOT.glob("examples/**/*.*")):
        if path.suffix in PAGES:
            text = PAGES[path.suffix](path.read_text(encoding="utf-8"), path)
            files.append(File.generated(config, f"{path.relative_to(ROOT).as_posix()}.md", content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """In a page of docs/, turns a link that leaves docs/ into one to the page of that file."""
    inside = "../" * page.file.src_uri.count("/")

    def on_site(link):
        target = link["target"]
        return f"]({inside}{target}{'' if target.endswith('.md') else '.md'})"

    return re.sub(rf"\]\({re.escape(inside)}\.\./(?P<target>(?:examples/|CHANGELOG)[^)]*)\)", on_site, markdown)


def on_page_content(html, page, config, files):
    html = html.replace("<p>.. code:: python</p>\n", "")  # the indented lines below it are code in Markdown too
    return ROLE.sub(r'<autoref optional identifier="\g<name>"><code>\g<name></code></autoref>', html)


def script(text, path):
    return f"# {path.name}\n\n`{path.relative_to(ROOT).as_posix()}`\n\n```python\n{text}```\n"


def notebook(text, path):
    """The cells one after the other, without outputs: a notebook in git has none. On the site, docs/ is the root."""
    cells = [(cell["cell_type"], "".join(cell["source"]).replace("](../docs/", "](../")) for cell in json.loads(text)["cells"]]
    return "\n\n".join(source if kind == "markdown" else f"```python\n{source}\n```" for kind, source in cells) + "\n"


PAGES = {".py": script, ".ipynb": notebook}
