"""Reads a page as strictly as an accessibility checker would, and lists what is wrong with it."""

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset(
    {"area", "br", "col", "hr", "img", "input", "link", "meta", "rect", "path", "line", "circle"}
)
BLOCKS = frozenset(
    {"p", "div", "form", "ul", "ol", "dl", "table", "section", "pre", "h1", "h2", "h3"}
)
NEEDS_LABEL = frozenset({"input", "select", "textarea"})


@dataclass
class Element:
    """One element with its attributes and the text directly inside."""

    tag: str
    attributes: dict[str, str]
    text: str = ""

    def get(self, name: str) -> str:
        """An attribute, empty when it is not there."""
        return self.attributes.get(name, "")


@dataclass
class Html(HTMLParser):
    """A page as a list of elements, in their order."""

    source: str
    elements: list[Element] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []
        self._drawn_titles: list[Element] = []
        self.feed(self.source)
        self.close()
        self.faults += [f"<{element.tag}> is not closed" for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        if tag == "title" and any(held.tag == "svg" for held in self._open):
            self._drawn_titles.append(element)  # What a part of a drawing says, not the page.
        else:
            self.elements.append(element)
        if tag in BLOCKS and any(held.tag == "p" for held in self._open):
            self.faults.append(f"<{tag}> stands in a <p>")
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            inside = self._open[-1].tag if self._open else "nothing"
            self.faults.append(f"</{tag}> closes <{inside}>")
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def all(self, tag: str, **wanted: str) -> list[Element]:
        """The elements with this tag and these attributes; `_` in a name stands for `-`."""
        named = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [
            each
            for each in self.elements
            if each.tag == tag and named.items() <= each.attributes.items()
        ]

    @property
    def drawn_titles(self) -> list[str]:
        """What the parts of drawings say to somebody who points at them."""
        return [each.text for each in self._drawn_titles]

    def problems(self) -> list[str]:
        """What a person with a screen reader, or a browser with a strict policy, would stumble over."""
        return [*self.faults, *self._policy(), *self._structure(), *self._labels()]

    def _policy(self) -> list[str]:
        found = [
            f"inline script: {each.text[:40]}" for each in self.all("script") if not each.get("src")
        ]
        for each in self.elements:
            if "style" in each.attributes:
                found.append(f"<{each.tag}> has a style attribute")
            found += [f"<{each.tag} {name}>" for name in each.attributes if name.startswith("on")]
            if each.get("href").lower().startswith("javascript:"):
                found.append("a javascript: address")
        return found

    def _structure(self) -> list[str]:
        found = [
            f"{len(self.all(tag))} <{tag}>"
            for tag in ("h1", "main", "title")
            if len(self.all(tag)) != 1
        ]
        ids = Counter(each.get("id") for each in self.elements if each.get("id"))
        found += [
            f"the id {name} is there {count} times" for name, count in ids.items() if count > 1
        ]
        for each in self.elements:
            for name in ("aria-labelledby", "list", "for"):
                found += [
                    f"{name}={word} points nowhere"
                    for word in each.get(name).split()
                    if word not in ids
                ]
        if not self.all("html", lang="en"):
            found.append("the language is not said")
        return found

    def _labels(self) -> list[str]:
        labelled = {each.get("for") for each in self.all("label")}
        fields = [e for e in self.elements if e.tag in NEEDS_LABEL and e.get("type") != "hidden"]
        found = [
            f"<{e.tag} name={e.get('name')}> has no label"
            for e in fields
            if e.get("id") not in labelled
        ]
        posts = [form for form in self.all("form") if form.get("method") == "post"]
        tokens = self.all("input", name="csrf")
        if len(tokens) < len([form for form in posts if form.get("action") != "/login"]):
            found.append("a form has no csrf token")
        return found
