"""Use the page of an answer in Chromium and print the observations as JSON.

    browse_answer.py CHROMIUM PAGE.html FOLDER

Screenshots and the print go into FOLDER. See tests/answer/test_page.py.
"""

import json
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Share of a map's pixels that are drawn, from the canvas' own data.
DRAWN = """() => {
    const canvas = document.querySelector("canvas");
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
    return count / (data.length / 4);
}"""
CURRENT = "() => document.querySelector('.mark[aria-current]')?.dataset.rank"
OPEN = """() => [...document.querySelector(".answer").querySelectorAll("details[open]")]
    .map(place => place.dataset.rank)"""
# Whether the map has scroll bars with its marks in its corners, before it is zoomed.
SCROLLS = """() => {
    const marks = [...document.querySelector(".map").querySelectorAll(".mark")];
    const before = marks.map(mark => mark.style.cssText);
    marks.forEach((mark, n) => {
        mark.style.left = n % 2 ? "100%" : "0";
        mark.style.top = n & 2 ? "100%" : "0";
    });
    const box = document.querySelector(".scroll");
    const found = [box.scrollWidth - box.clientWidth, box.scrollHeight - box.clientHeight];
    marks.forEach((mark, n) => mark.style.cssText = before[n]);
    return found;
}"""
WIDTH = "() => document.documentElement.scrollWidth"
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
CLIPPED = """() => [...document.querySelectorAll("*")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX != "visible")
    .map(e => e.getAttribute("aria-label") || e.className || e.tagName)"""


def use(page, told):
    """Operate the slider, choose places by mouse and keyboard, copy, zoom."""
    slider = page.locator("input[type=range]").first
    told["shares"] = {}
    for level in (20, 50, 80, 95):
        slider.fill(str(level))
        told["shares"][level] = [page.evaluate(DRAWN), page.locator("output").first.inner_text()]
    slider.focus()
    page.keyboard.press("ArrowLeft")
    told["by_key"] = page.locator("output").first.inner_text()
    told["value_text"] = slider.get_attribute("aria-valuetext")
    told["first"] = [page.evaluate(CURRENT), page.evaluate(OPEN)]
    page.locator(".mark[data-rank='3']").first.click()
    page.wait_for_timeout(100)
    told["clicked"] = [page.evaluate(CURRENT), page.evaluate(OPEN)]
    page.locator("summary").nth(1).focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)
    told["keyed"] = [page.evaluate(CURRENT), page.evaluate(OPEN)]
    page.keyboard.press("Tab")
    told["next"] = page.evaluate("() => document.activeElement.className")
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    told["copied"] = page.evaluate("() => navigator.clipboard.readText()")
    told["status"] = page.locator(".said").inner_text()
    before = page.locator(".map").first.bounding_box()["width"]
    page.locator(".in").first.click()
    told["zoomed"] = page.locator(".map").first.bounding_box()["width"] / before
    page.locator(".out").first.click()


def main(chromium, page_html, folder):
    folder = Path(folder)
    told = {"violations": [], "widths": {}, "clipped": {}, "scrolls": []}
    asked, said = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(Path(page_html).resolve().as_uri())
        page.wait_for_timeout(300)
        told["paint_ms"] = page.evaluate(PAINT)
        use(page, told)
        for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(100)
            page.screenshot(path=folder / f"{width}-{scheme}.png", full_page=True)
            told["widths"][width] = page.evaluate(WIDTH)
            told["scrolls"] += page.evaluate(SCROLLS)
            found = Axe().run(page).response["violations"]
            told["violations"] += [
                {
                    "id": v["id"],
                    "impact": v["impact"],
                    "nodes": [n["html"][:200] for n in v["nodes"]],
                }
                for v in found
            ]
        page.emulate_media(color_scheme="light")
        margin = dict.fromkeys(("left", "right", "top", "bottom"), "12mm")
        page.pdf(path=folder / "print.pdf", format="A4", margin=margin)
        page.set_viewport_size({"width": int((210 - 24) / 25.4 * 96), "height": 1000})
        page.emulate_media(media="print")
        told["clipped"] = page.evaluate(CLIPPED)
        browser.close()
    told["requests"] = [u for u in asked if not u.startswith(("file:", "data:", "blob:"))]
    # Chromium warns that DRAWN reads the canvas often.
    told["console"] = [text for text in said if "willReadFrequently" not in text]
    told["text"] = [page.extract_text() for page in PdfReader(folder / "print.pdf").pages]
    print(json.dumps(told))


main(*sys.argv[1:])
