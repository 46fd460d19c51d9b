"""Somebody who uses the page in a real browser: Debian's Chromium, without a window.

``python -m tests.demo.visitor`` starts ``janusflow demo`` with the shipped model, says what takes how long, and takes
the pictures of the documentation.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,1000"),
    *("--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--no-first-run"),
)
PATIENCE = 300  # seconds; a busy machine is no failure


class Visitor:
    """A browser on the page at ``url``."""

    def __init__(self, url: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        options.page_load_strategy = "none"
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        for flag in FLAGS:
            options.add_argument(flag)
        self.url = url
        self.driver = webdriver.Chrome(options, Service(DRIVER))
        self.driver.get(url)

    def close(self) -> None:
        self.driver.quit()

    def find(self, selector: str):
        """The element that is seen there, as soon as there is one."""
        return self.wait(lambda: next((e for e in self.all(selector) if e.is_displayed()), None), selector)

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, look, what: str):
        """What ``look`` gives as soon as it is something."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if found := look():
                    return found
            except WebDriverException:
                pass  # the page changes while it is looked at
            time.sleep(0.1)
        raise AssertionError(f"waited in vain for {what}")

    def tab(self, name: str) -> None:
        """Open a tab."""
        button = self.wait(lambda: next((b for b in self.all("button[role=tab]") if b.text == name), None), name)
        button.click()

    def write(self, selector: str, text: str) -> None:
        """Replace what is written there."""
        field = self.find(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.wait(lambda: field.get_attribute("value") == text, f"{text!r} in {selector}")

    def set(self, option: str, value: object, part: int = 0) -> None:
        """Set a number beside a slider."""
        self.write(f"#{option}-{part} input[type=number]", str(value))
        self.find(f"#{option}-{part} input[type=number]").send_keys(Keys.TAB)

    def value(self, selector: str) -> str:
        return self.find(selector).get_attribute("value")

    def sources(self, selector: str) -> list[str]:
        """Addresses of the pictures there."""
        return [image.get_attribute("src") for image in self.all(f"{selector} img")]

    def picture(self, selector: str, before: str | None = None) -> Image.Image:
        """The first picture there, once it is another than that ``before``."""

        def first() -> str | None:
            address = next(iter(self.sources(selector)), None)
            return None if address == before else address

        return fetch(self.wait(first, f"a picture in {selector}"))

    def send_file(self, selector: str, *paths: Path) -> None:
        """Choose files of this machine."""
        field = self.wait(lambda: self.all(f"{selector} input[type=file]"), selector)[0]
        field.send_keys("\n".join(map(str, paths)))

    def text(self, selector: str) -> str:
        return "".join(element.text for element in self.all(selector))

    def errors(self) -> list[str]:
        """What the page complained of."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def asked(self) -> set[str]:
        """Hosts that the page asked for anything."""
        events = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        addresses = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return {urlsplit(address).netloc for address in addresses if address.startswith("http")}

    def shot(self, path: Path) -> None:
        """A picture of the page, in few colours."""
        time.sleep(1)
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def fetch(address: str) -> Image.Image:
    """A picture at an address."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as response:
        return Image.open(io.BytesIO(response.read()))


def main() -> int:
    """Visit the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    began = time.perf_counter()
    command = [sys.executable, "-m", "janusflow.cli", "demo", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().split()[-1]
        print(f"{time.perf_counter() - began:.1f} s to the open port", flush=True)
        visitor = Visitor(url)
        visitor.find("#draw").click()
        print(f"{time.perf_counter() - began:.1f} s to the page in the browser", flush=True)
        visitor.picture("#drawn")
        print(f"{time.perf_counter() - began:.1f} s to the first pictures", flush=True)
        tour(visitor, args.out, args.steps)
        print(f"{time.perf_counter() - began:.1f} s in all", flush=True)
        visitor.close()
    finally:
        server.send_signal(signal.SIGTERM)
        print(f"exit code {server.wait(60)}")
    return 0


def tour(visitor: Visitor, out: Path, steps: int) -> None:
    """Every tab, and its picture."""
    visitor.set("steps", steps)
    visitor.write("#prompt textarea", "two red circles and a blue star")
    old = visitor.sources("#drawn")[0]
    visitor.find("#draw").click()
    drawn = visitor.picture("#drawn", old)
    drawn.save(out / "drawn.png")
    visitor.shot(out / "demo-draw.png")
    visitor.tab("Watch")
    visitor.write("#watched textarea", "two red circles and a blue star")
    visitor.find("#watch").click()
    visitor.picture("#strip")
    visitor.shot(out / "demo-watch.png")
    visitor.tab("Compare")
    visitor.write("#prompts textarea", "two red circles and a blue star")
    visitor.find("#compare").click()
    visitor.picture("#side1")
    visitor.shot(out / "demo-compare.png")
    visitor.tab("Ask")
    visitor.send_file("#shown", (out / "drawn.png").absolute())
    visitor.picture("#shown")
    for question in ("how many circles are there?", "what color is the star?"):
        visitor.write("#question textarea", question)
        before = len(visitor.all("#talk .bot"))
        visitor.find("#question textarea").send_keys(Keys.ENTER)
        visitor.wait(lambda count=before: len(visitor.all("#talk .bot")) > count, "an answer")
        visitor.wait(lambda: visitor.value("#question textarea") == "", "an empty question")
        time.sleep(2)
    visitor.shot(out / "demo-ask.png")
    (out / "drawn.png").unlink()


if __name__ == "__main__":
    raise SystemExit(main())
