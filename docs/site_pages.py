"""Pages of the site whose text stands elsewhere in the repository: the changelog, the promises and the model cards."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

TOP = Path(__file__).parents[1]
PAGES = {"changelog.md": TOP / "CHANGELOG.md", "security.md": TOP / "SECURITY.md"} | {
    f"cards/{path.parent.name}.md": path for path in sorted((TOP / "checkpoints").glob("*/README.md"))
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, path in PAGES.items():
        files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links that lead to these files in the repository lead to the pages."""
    markdown = markdown.replace("(../SECURITY.md", "(security.md").replace("(docs/", "(")
    return re.sub(r"\(\.\./checkpoints/([\w-]+)/README\.md", r"(cards/\1.md", markdown)
