"""Reads a page as a test needs it: links, pictures, text, anchors, and whether every element is closed."""

from html.parser import HTMLParser


class Page(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.links, self.images, self.ids, self.text, self.open = [], [], [], "", []
        self.pieces: list[str] = []
        self.elements: list[tuple[str, dict, tuple[str, ...]]] = []  # (tag, attributes, what it stands in)
        self.feed(html)
        assert self.open == [], "left open"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes, tuple(self.open)))
        if tag not in ("meta", "img", "br", "base"):
            self.open.append(tag)
        self.links += [attributes["href"]] if tag == "a" else []
        self.images += [attributes["src"]] if tag == "img" else []
        self.ids += [attributes["id"]] if "id" in attributes else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        self.pieces += data.split()

    @property
    def words(self) -> str:
        """All text with one space between two words, and between two elements."""
        return " ".join(self.pieces)
