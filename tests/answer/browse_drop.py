"""Drop photos on the served page in Chromium and print the observations as JSON.

    browse_drop.py CHROMIUM ADDRESS FOLDER PHOTO NOT_A_PHOTO

See tests/answer/test_server.py.
"""

import base64
import json
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DROP = """([name, text]) => {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], name, { type: "image/jpeg" }));
    const drop = document.querySelector(".drop");
    for (const kind of ["dragenter", "dragover", "drop"])
        drop.dispatchEvent(
            new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def answered(page, count):
    # Not `wait_for_function`, because the page forbids its `eval`.
    page.locator(".answers > li:not(.waiting)").nth(count - 1).wait_for(timeout=60_000)
    return page.locator(".answers > li").first.inner_text()


def main(chromium, address, folder, photo, other):
    told = {"violations": [], "widths": {}}
    asked, said = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        context.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        # Listened for from the start: else Chromium may open a dialog of its own at the key press.
        page.on("filechooser", lambda chooser: None)
        page.goto(address)
        page.locator("#area").select_option("rowan")
        body = base64.b64encode(Path(photo).read_bytes()).decode()
        page.evaluate(DROP, ["dropped.jpg", body])
        told["dropped"] = answered(page, 1)
        told["status"] = page.locator(".said").inner_text()
        page.locator("#area").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        told["focus"] = page.evaluate("() => document.activeElement.id")
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files([photo, other])
        answered(page, 3)
        told["all"] = page.locator(".answers").inner_text()
        page.locator("#together").check()
        page.locator("#photos").set_input_files([photo, photo, photo])
        told["together"] = answered(page, 4)
        for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light")):
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(100)
            page.screenshot(path=Path(folder) / f"drop-{width}-{scheme}.png", full_page=True)
            told["widths"][width] = page.evaluate("() => document.documentElement.scrollWidth")
            found = Axe().run(page).response["violations"]
            told["violations"] += [
                {"id": v["id"], "impact": v["impact"], "at": [n["html"][:200] for n in v["nodes"]]}
                for v in found
            ]
        with context.expect_page() as opened:
            page.locator(".answers > li").last.locator("a").click()
        answer = opened.value
        answer.wait_for_load_state()
        answer.on("console", lambda message: said.append(message.text))
        told["answer"] = answer.locator("h2").first.inner_text()
        answer.wait_for_selector(".mark[aria-current]")
        # Requests that another web page in the same browser could try.
        stranger = context.new_page()
        stranger.goto("data:text/html,<p>elsewhere")
        told["foreign"] = stranger.evaluate(
            "a => fetch(a + 'ask?area=rowan', { method: 'POST', body: new FormData() })"
            ".then(r => r.status, () => 'refused')",
            address,
        )
        browser.close()
    told["requests"] = sorted({u.split("?")[0] for u in asked if not u.startswith("data:")})
    told["console"] = [text for text in said if "422" not in text]
    print(json.dumps(told))


main(*sys.argv[1:])
