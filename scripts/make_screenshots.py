"""Make the documentation's pictures: MLflow's UI and the leaderboard after real runs of the demo.

    python scripts/make_screenshots.py                    # runs three pipelines, some minutes
    python scripts/make_screenshots.py --folder FOLDER    # uses the pipelines that were run in FOLDER

Needs Debian's Chromium (`apt-get install chromium`) and Playwright. Writes docs/images/*.png.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from servers import mlflow_server  # noqa: E402 - tests/ is not on the path of a script

IMAGES = ROOT / "docs" / "images"
TIMEOUT = 120_000  # milliseconds, for pages that fetch data
SIZE = {"width": 1280, "height": 800}


def rpmask(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a verb with --json and return the object it prints."""
    command = [sys.executable, "-m", "rpmask", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_pipeline(folder: Path, seed: int) -> dict[str, Any]:
    """Run the demo at two levels; a finished pipeline is not run again."""
    levels = ["--levels", "0.83,0.9375", "--threads", "1"]
    return rpmask(folder, "run", "--task", "demo", *levels, "--seed", str(seed))


def save(name: str, picture: bytes) -> None:
    Image.open(io.BytesIO(picture)).convert("RGB").save(IMAGES / f"{name}.png", optimize=True)
    print(f"{name}.png: {(IMAGES / f'{name}.png').stat().st_size / 1024:.0f} kB")


def shoot_ui(browser: Any, address: str, last: dict[str, Any], experiment: str) -> None:
    """The list of runs, a race, and the registered model."""
    runs = f"/#/experiments/{experiment}/runs"
    race = f"{runs}/{last['screen']['run_id']}"
    # The page, the name of its picture, and a text that shows that the page has loaded.
    shots = [
        (f"{runs}", "ui-runs", "run demo to 93.75%"),
        (race, "ui-screen", "Raced 8 candidates"),
        (f"{race}/artifacts/charts/race.png", "ui-race", "charts/race.png"),
        ("/#/models/rpmask-demo", "ui-model", "champion"),
    ]
    for path, name, words in shots:
        page = browser.new_page(base_url=address, viewport=SIZE)
        page.set_default_timeout(TIMEOUT)
        page.goto(path)
        page.get_by_text(words).first.wait_for(state="visible")
        _close_assistant(page)
        if name == "ui-runs":
            page.get_by_text("Expand rows").click()
        if name == "ui-race":
            # Hide the path of the store on this machine.
            page.get_by_text("Path:").first.evaluate("e => e.parentElement.style.opacity = 0")
            page.locator("img[src^='blob:'], img[alt*='race.png']").first.wait_for(state="visible")
        page.wait_for_timeout(1500)  # until rows and pictures are in place
        save(name, page.screenshot())
        page.close()


def _close_assistant(page: Any) -> None:
    """Close the chat that MLflow opens at the side."""
    heading = page.get_by_text("MLflow Assistant").first
    if page.get_by_placeholder("Ask a question").is_visible():
        heading.locator("xpath=ancestor::*[.//button][1]").get_by_role("button").last.click()
        # A button with the same text stays, so wait for the text field to disappear.
        page.get_by_placeholder("Ask a question").wait_for(state="hidden")


def shoot_report(browser: Any, folder: Path) -> None:
    """The page of `rpmask report`."""
    rpmask(folder, "report", "--out", "report.html")
    page = browser.new_page(viewport={"width": 1120, "height": 700})
    page.goto((folder / "report.html").as_uri())
    save("report", page.screenshot(full_page=True))
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the pipelines were run, or will be")
    parser.add_argument("--seeds", type=int, default=3, help="how many pipelines to compare")
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rpmask-") as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        pipelines = [run_pipeline(folder, seed) for seed in range(arguments.seeds)]
        with (
            sync_playwright() as playwright,
            mlflow_server(folder, "sqlite:///mlflow.db") as address,
        ):
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            shoot_ui(browser, address, pipelines[0]["levels"][-1], "1")
            shoot_report(browser, folder)
            browser.close()


if __name__ == "__main__":
    main()
