"""Open a page in Chromium and print findings as JSON; run by `.browser/bin/python`.

    browse.py CHROMIUM PAGE.html OUT.pdf

See tests/report/test_browser.py.
"""

import json
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

# The first option lets root start it in a container; the others keep it off the network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CLIPPED = """() => [...document.querySelectorAll("*")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX != "visible")
    .map(e => e.getAttribute("aria-label") || e.className || e.tagName)"""
WIDTH = "() => document.documentElement.scrollWidth"


def main(chromium, page_html, pdf):
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(Path(page_html).resolve().as_uri())
        found, widths = [], {}
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 844})
            widths[width] = page.evaluate(WIDTH)
            # On a narrow screen, tables must scroll.
            found += Axe().run(page).response["violations"]
        # Follows the dark setting of the reader's system.
        page.emulate_media(color_scheme="dark")
        found += Axe().run(page).response["violations"]
        page.emulate_media(color_scheme="light")
        page.pdf(path=pdf, format="A4", margin=dict.fromkeys(("left", "right"), "12mm"))
        # The printable area: A4 without its margins, at 96 px per inch.
        page.set_viewport_size({"width": int((210 - 24) / 25.4 * 96), "height": 1000})
        page.emulate_media(media="print")
        clipped = page.evaluate(CLIPPED)
        browser.close()
    pages = PdfReader(pdf).pages
    told = {
        "violations": [
            {"id": v["id"], "impact": v["impact"], "nodes": [n["html"][:200] for n in v["nodes"]]}
            for v in found
        ],
        "requests": [url for url in asked if not url.startswith(("file:", "data:"))],
        "console": said,
        "widths": widths,
        "clipped": clipped,
        "text": [page.extract_text() for page in pages],
    }
    print(json.dumps(told))


main(*sys.argv[1:])
