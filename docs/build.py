#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make docs: the book and the reference of every stage, as HTML.

Six stages define the same names, so Doxygen runs once for each stage and once
for the book. Tag files tie them: the stages know the pages of the book, the
book knows the symbols of the last stage. Warnings are errors.

    build.py                  writes docs/build/html/
    build.py --filter FILE    for Doxygen: FILE as it is to read it

A page links to files, as in `[the wheel](wheel.h)`, so that it can be followed
in the repository; the filter turns that into a link to the page of that file,
and complains if there is no such file.
"""

import html
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
BUILD = DOCS / "build"
HTML = BUILD / "html"
PARTS = BUILD / "parts"  # tag files, layouts, generated pages
sys.path.insert(0, str(ROOT / "common" / "tools"))

import diff
import guarantees
import ladderlib
from ladderlib import number

TITLE = "miniss in C"
BOOK = [  # the pages but for the first, in the order of the menu
    ("design", "Design"),
    ("guarantees", "Guarantees"),
    ("guarantee_list", "The list"),
    ("contributing", "Contributing"),
    ("simulation", "The simulated machine"),
    ("style", "Style"),
    ("bench", "Where the time goes"),
]


def short(path):
    return os.path.relpath(path, ROOT)


def named(stage):
    """'3: spsc' for stage03-spsc."""
    return f"{int(number(stage))}: {stage.name[8:]}"


# --- the filter: links between files become links between pages --------------

LINK = re.compile(r"(?<!!)\[((?:[^][`]|`[^`]*`)*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
SYMBOL = re.compile(r"(?<![\[`])`(mini_\w+|MINI_\w+)`(?![\]`])")
FENCE = re.compile(r"^[ \t]*(```|~~~)")


def file_page(name):
    """The name that Doxygen gives to the page of a header."""
    return name.replace("_", "__").replace(".", "_8") + ".html"


def source_label(name):
    return "src_" + re.sub(r"\W", "_", name)


def page_of(target, page):
    """Where a link in PAGE to the file TARGET goes; None: there is no page."""
    here = page.parent
    up = "" if here == DOCS else "../"
    if target in (DOCS / "index.md", ROOT / "README.md", DOCS):
        return "@ref index" if here == DOCS else "../index.html"
    if target.parent == DOCS and target.suffix == ".md":
        return f"@ref {target.stem}"
    stage = next((s for s in ladderlib.stages()
                  if s == target or s in target.parents), None)
    if stage is None:
        return None
    if target in (stage, stage / "README.md"):
        return f"{up}{stage.name}/index.html"
    if target.parent.name == "examples" and target.suffix == ".c":
        stem = target.name.replace(".", "_8")
        return f"{up}{stage.name}/{stem}-example.html"
    if target.suffix == ".h":
        own = stage == here
        return (f"@ref {target.name}" if own
                else f"{up}{stage.name}/{file_page(target.name)}")
    if target.suffix == ".c":
        label = source_label(target.name)
        return (f"@ref {label}" if stage == here
                else f"{up}{stage.name}/{label}.html")
    return None


def relink(page, line, lineno):
    def replace(match):
        text, link, _ = match.groups()
        if re.match(r"\w+:", link):
            return match.group()
        target = (page.parent / link).resolve()
        if not target.exists():
            print(f"{short(page)}:{lineno}: link to {link}: no such file",
                  file=sys.stderr)
            return text
        place = page_of(target, page)
        return f"[{text}]({place})" if place else text
    return LINK.sub(replace, line)


def symbols_for(page):
    """What `mini_this` and `MINI_THAT` can mean on a page."""
    stage = page.parent if page.parent != DOCS else ladderlib.stages()[-1]
    return {name for header in stage.glob("*.h")
            for kind, name in ladderlib.declarations(ladderlib.read(header))
            if kind not in ("struct", "enumerator")}


def filtered(page):
    """A page for Doxygen: its licence line gone, its title with a label, and
    symbols as links."""
    def symbol(match):
        name = match[1]
        link = f'<code>@ref {name} "{name}"</code>'
        return link if name in symbols else match[0]
    symbols = symbols_for(page)
    fenced, titled = False, False
    for lineno, line in enumerate(ladderlib.read(page).split("\n"), 1):
        if lineno == 1 and line.startswith("<!--"):
            line = ""
        fenced = fenced != bool(FENCE.match(line))
        if not fenced:
            line = SYMBOL.sub(symbol, relink(page, line, lineno))
            if line.startswith("# ") and not titled:
                titled = True
                if page.parent == DOCS and page.stem != "index":
                    line += f" {{#{page.stem}}}"
        yield line


# --- Doxygen -------------------------------------------------------------


def run_doxygen(name, settings):
    """One run; its warnings, with paths as they are in the repository."""
    lines = [(DOCS / "Doxyfile").read_text(encoding="utf-8")]
    for key, value in settings.items():
        values = value if isinstance(value, list) else [value]
        lines.append(f"{key} = " + " ".join(f'"{one}"' for one in values))
    done = subprocess.run(
        ["doxygen", "-"], input="\n".join(lines) + "\n", cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    complaints = done.stderr.replace(f"{ROOT}/", "").strip()
    if done.returncode != 0 and not complaints:
        complaints = f"doxygen ended with status {done.returncode}"
    return [f"docs: {name}: {line}" for line in complaints.split("\n") if line]


def settings(name, brief, inputs):
    layout = PARTS / f"{name}.xml"
    return {
        "PROJECT_NAME": TITLE,
        "PROJECT_BRIEF": brief,
        "INPUT": [str(path) for path in inputs],
        "STRIP_FROM_PATH": str(ROOT),
        "LAYOUT_FILE": str(layout),
        "OUTPUT_DIRECTORY": str(BUILD),
        "HTML_EXTRA_STYLESHEET": str(DOCS / "style.css"),
        "FILTER_PATTERNS": f"*.md={sys.executable} {DOCS}/build.py --filter",
        "GENERATE_TAGFILE": str(PARTS / f"{name}.tag"),
    }


# --- the menus ---------------------------------------------------------------


def tab(title, url):
    return f'<tab type="user" visible="yes" title="{title}" url="{url}"/>'


def group(title, url, tabs):
    return [f'<tab type="usergroup" visible="yes" title="{title}" url="{url}">',
            *tabs, "</tab>"]


def stage_tabs(up):
    return group("Stages", f"{up}index.html", [
        tab(named(stage), f"{up}{stage.name}/index.html")
        for stage in ladderlib.stages()])


def book_tabs():
    return [
        '<tab type="mainpage" visible="yes" title="The book"/>',
        *(tab(title, f"@ref {label}") for label, title in BOOK),
        *stage_tabs(""),
    ]


def tabs_of(stage):
    return [
        tab("The book", "../index.html"),
        *stage_tabs("../"),
        f'<tab type="mainpage" visible="yes" title="Stage {named(stage)}"/>',
        '<tab type="filelist" visible="yes" title="Headers"/>',
        *group("Sources", "@ref sources", [
            tab(name, f"@ref {source_label(name)}")
            for name in ladderlib.sources(stage)
            if name.endswith(".c") and "/" not in name]),
        '<tab type="examples" visible="yes" title="Examples"/>',
        tab("Guarantees", "@ref promises"),
        '<tab type="classlist" visible="yes" title="Types"/>',
        '<tab type="globals" visible="yes" title="Index"/>',
    ]


def write_layout(name, default, tabs):
    """Doxygen's own layout with another menu, and with what a header has to say
    before the list of what is in it."""
    text = re.sub(
        r"(?s)<navindex>.*</navindex>",
        "<navindex>" + "\n".join(tabs) + "</navindex>", default)
    text = re.sub(
        r'(?s)<briefdescription visible="[^"]*"/>(.*?)'
        r'<detaileddescription title=""/>',
        r'<briefdescription visible="no"/><detaileddescription title=""/>\1',
        text)
    (PARTS / f"{name}.xml").write_text(text, encoding="utf-8")


# --- generated pages -----------------------------------------------------


def sources_of(stage):
    """The stage's .c files and examples, each as a page with links in it."""
    stages = ladderlib.stages()
    at = stages.index(stage)
    before = ladderlib.sources(stages[at - 1]) if at else {}
    after = {name: path for name, path in ladderlib.sources(stage).items()
             if path.suffix == ".c"}
    own = [name for name in after if "/" not in name]
    new = [name for name in own if name not in before]
    groups = [("New in this stage", new),
              ("From earlier stages", [n for n in own if n not in new])]
    lines = ["/** @page sources Sources"]
    for title, names in groups:
        if names:
            lines += ["", f"<h2>{title}</h2>", ""]
        for name in names:
            lines.append(f"- @subpage {source_label(name)} <br>"
                         f" {html.escape(diff.purpose(after[name]), False)}")
    lines.append("*/")
    for name in own:
        lines += [f"/** @page {source_label(name)} {name}",
                  f"@include {stage.name}/{name}", "*/"]
    for name in after:
        if "/" in name:
            lines.append(f"/** @example {name[9:]} */")
    return "\n".join(lines) + "\n"


STRUCT = re.compile(r"(?ms)^struct (\w+) \{$(.*?)^\}")
FUTURE = re.compile(r"(?m)^    struct mini_future (future);$")
SEVERAL = re.compile(
    r"(?m)^    [\w ]+? \**(\w+(?:, \**\w+)+); /\*\*< (.*?) \*/$")


def members(stage):
    """What the headers need not say a second time: the future with which so
    many structs begin; of `a, b; /**< text */` the text of a."""
    for path in sorted(stage.glob("*.h")):
        for struct, body in STRUCT.findall(ladderlib.read(path)):
            for name in FUTURE.findall(body):
                yield (f"/** @var {struct}::{name}\nTo be awaited; the first"
                       " member, so that a poll function finds the rest. */\n")
            for names, text in SEVERAL.findall(body):
                for name in re.findall(r"\w+", names)[:-1]:
                    yield f"/** @var {struct}::{name}\n{text} */\n"


def promise_rows(stage, promises, tests):
    for name in sorted(promises, key=guarantees.order):
        promise = promises[name]
        if guarantees.stage_number(name) != number(stage):
            continue
        page = f"{stage.name}/{file_page(promise.header)}"
        count = sum(test.id == name for test in tests)
        proof = "planned"
        if promise.kind == "guarantee":
            proof = f"{count} test" + "s" * (count != 1)
        yield (f"<tr><td>{name}</td><td>{html.escape(promise.text)}</td>"
               f"<td><a href='{page}'>{promise.header}</a></td>"
               f"<td>{proof}</td></tr>")


def promise_page():
    """All guarantees, as the headers make them."""
    promises = guarantees.promises_of(ladderlib.stages()[-1], [])
    tests = guarantees.all_tests([])
    lines = ["/** @page guarantee_list The list of guarantees", "",
             "Generated from the headers, which are where a promise is made;"
             " \\ref guarantees says how that works. `make test-04 T=g4_2`"
             " runs the tests of G4.2."]
    for stage in ladderlib.stages():
        title = f"G{int(number(stage))}: {stage.name[8:]}"
        lines += ["", "@htmlonly", f"<h2>{title}</h2>",
                  "<table class='doxtable'><tr><th>promise</th><th>text</th>"
                  "<th>made in</th><th>proof</th></tr>",
                  *promise_rows(stage, promises, tests), "</table>",
                  "@endhtmlonly"]
    return "\n".join(lines) + "\n*/\n"


def sort_promises(page):
    """In the list that Doxygen makes: G1.2 before G1.10, file by file."""
    def by_number(match):
        paragraphs = re.findall(r"(?s)<p[^>]*>(.*?)</p>", match[1])
        if not paragraphs:  # a single promise stands there without one
            return match[0]
        name = re.compile(r"<b>(G\d+\.\d+)")
        paragraphs.sort(key=lambda p: guarantees.order(name.search(p)[1]))
        return "<dd>" + "".join(f"<p>{p}</p>\n" for p in paragraphs) + "</dd>"
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"(?s)<dd>(.*?)</dd>", by_number, text),
                    encoding="utf-8")


# --- all of it ---------------------------------------------------------------


def build_stage(stage):
    generated = PARTS / f"{stage.name}.dox"
    generated.write_text(sources_of(stage) + "".join(members(stage)),
                         encoding="utf-8")
    headers = [*sorted(stage.glob("*.h")),
               *sorted((ROOT / "common").glob("*.h"))]
    complaints = run_doxygen(stage.name, {
        **settings(stage.name, f"stage {named(stage)}",
                   [stage / "README.md", *headers, generated]),
        "USE_MDFILE_AS_MAINPAGE": str(stage / "README.md"),
        "EXAMPLE_PATH": [str(ROOT), str(stage / "examples")],
        "STRIP_FROM_PATH": [str(stage), str(ROOT)],
        "HTML_OUTPUT": f"html/{stage.name}",
        "TAGFILES": f"{PARTS}/book.tag=..",
    })
    if not complaints:
        sort_promises(HTML / stage.name / "promises.html")
    return complaints


def build_book(**more):
    pages = [DOCS / f"{name}.md" for name, _ in BOOK]
    pages = [DOCS / "index.md", *(page for page in pages if page.is_file())]
    (PARTS / "guarantees.dox").write_text(promise_page(), encoding="utf-8")
    last = ladderlib.stages()[-1]
    return run_doxygen("the book", {
        **settings("book", "a workbook in six stages",
                   [*pages, PARTS / "guarantees.dox"]),
        "USE_MDFILE_AS_MAINPAGE": str(DOCS / "index.md"),
        "EXAMPLE_PATH": [str(last), str(ROOT)],
        "HTML_OUTPUT": "html",
        **more,
    })


def broken_links():
    """Links that Doxygen does not check: those by hand (menus, stage to stage),
    and those to a place in a page that we have changed."""
    texts = {page: page.read_text(encoding="utf-8", errors="replace")
             for page in sorted(HTML.rglob("*.html"))}
    places = {page: set(re.findall(r"""\b(?:id|name)=["']([^"']+)""", text))
              for page, text in texts.items()}
    for page, text in texts.items():
        for link in sorted(set(re.findall(r"""href=["']([^"']+)""", text))):
            if re.match(r"\w+:|//", link):
                continue
            name, _, place = html.unescape(link).partition("#")
            name = name.partition("?")[0]
            target = Path(os.path.normpath(page.parent / name if name else page))
            if not target.exists():
                yield f"docs: {short(page)}: link to {link}: no such page"
            elif place and place not in places.get(target, {place}):
                yield f"docs: {short(page)}: link to {link}: no such place"


def main():
    if sys.argv[1:2] == ["--filter"]:
        print("\n".join(filtered(Path(sys.argv[2]).resolve())))
        return 0
    if not shutil.which("doxygen"):
        sys.exit("docs: Doxygen is missing: run `make deps-docs`")
    shutil.rmtree(BUILD, ignore_errors=True)
    PARTS.mkdir(parents=True)
    HTML.mkdir()
    default = PARTS / "default.xml"
    subprocess.run(["doxygen", "-l", str(default)], check=True,
                   stdout=subprocess.DEVNULL)
    text = default.read_text(encoding="utf-8")
    write_layout("book", text, book_tabs())
    for stage in ladderlib.stages():
        write_layout(stage.name, text, tabs_of(stage))
    build_book(GENERATE_HTML="NO", WARNINGS="NO")  # for its tag file alone
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = sum(pool.map(build_stage, ladderlib.stages()), [])
    last = ladderlib.stages()[-1].name
    complaints += build_book(TAGFILES=f"{PARTS}/{last}.tag={last}")
    complaints = complaints or list(broken_links())
    for line in complaints:
        print(line, file=sys.stderr)
    if complaints:
        print(f"docs: {len(complaints)} warnings, which are errors here",
              file=sys.stderr)
        return 1
    print(f"docs: open {short(HTML)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
