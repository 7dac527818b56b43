"""MLflow's UI in a real browser: what somebody finds there who has read none of our code."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from servers import mlflow_server

from rpmask.tracking.server import MODEL_TRAINING, ui_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60_000  # milliseconds to wait for what the UI fetches, at most
# MLflow's own UI asks for the user of its optional authentication, and takes a 404 for "nobody".
EXPECTED = ("/ajax-api/2.0/mlflow/users/current",)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here: apt-get install chromium"
)
Road = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def ui(road: Road) -> Iterator[str]:
    with mlflow_server(road[0], "sqlite:///mlflow.db") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, ui: str) -> Iterator[Any]:
    """A page that fails its test over any console error or exception, or a request to elsewhere."""
    wrong: list[str] = []
    opened = browser.new_page(base_url=ui, viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(SECONDS)
    opened.on("pageerror", lambda error: _report(str(error), wrong))
    opened.on("console", lambda message: _note(message, wrong))
    opened.on("request", lambda request: _local(request.url, ui, wrong))
    yield opened
    opened.close()
    assert wrong == []


def _report(error: str, wrong: list[str]) -> None:
    # Browsers raise this, harmlessly, when a layout takes longer than a frame: a busy machine is enough.
    if "ResizeObserver loop" not in error:
        wrong.append(error)


def _note(message: Any, wrong: list[str]) -> None:
    address = message.location.get("url", "")
    if message.type == "error" and not address.endswith(EXPECTED):
        _report(f"{message.text} ({address})", wrong)


def _local(url: str, ui: str, wrong: list[str]) -> None:
    if not url.startswith((ui, "data:", "blob:")):
        wrong.append(f"request to {url}")


def see(page: Any, text: str | re.Pattern[str]) -> None:
    page.get_by_text(text).first.wait_for(state="visible")


def experiment(client: MlflowClient) -> str:
    return str(client.get_experiment_by_name("rpmask").experiment_id)


def test_experiment_lists_the_run(page: Any, road: Road, client: MlflowClient) -> None:
    page.goto("/#/experiments")
    see(page, "rpmask")
    page.goto(f"/#/experiments/{experiment(client)}/runs")
    see(page, "run demo to 93.75%")


def test_parent_and_child_runs(page: Any, road: Road, client: MlflowClient) -> None:
    last = road[1]["levels"][-1]
    page.goto(f"/#/experiments/{experiment(client)}/runs/{last['sample']['run_id']}")
    see(page, "sample demo 93.75% k=4")
    see(page, "4 candidate masks")
    see(page, "Parent run")
    see(page, "run demo to 93.75%")
    race = last["screen"]["run_id"]
    child = client.search_runs(
        [experiment(client)], f"tags.`mlflow.parentRunId` = '{race}'", max_results=1
    )[0]
    page.goto(f"/#/experiments/{experiment(client)}/runs/{child.info.run_id}")
    see(page, child.info.run_name)
    see(page, "screen demo 93.75% k=4")


def test_race_chart_and_its_page(page: Any, road: Road, client: MlflowClient) -> None:
    place = f"/#/experiments/{experiment(client)}/runs/{road[1]['levels'][-1]['screen']['run_id']}"
    page.goto(f"{place}/artifacts/charts/race.png")
    see(page, "charts/race.png")
    picture = page.locator("img[alt*='race.png'], img[src^='blob:']").first
    picture.wait_for(state="visible")
    page.wait_for_function("image => image.naturalWidth > 900", arg=picture.element_handle())
    page.get_by_text("screen.html").first.click()
    inside = page.frame_locator("iframe").first
    inside.get_by_text("Raced 4 candidates").wait_for(state="visible")
    drawing = inside.get_by_alt_text(re.compile("Race of 4 masks"))
    drawing.wait_for(state="visible")
    size = "async image => { await image.decode(); return image.naturalWidth }"
    assert drawing.evaluate(size) > 900


def test_registered_model_has_both_aliases_and_its_lineage(
    page: Any, road: Road, client: MlflowClient
) -> None:
    last = road[1]["levels"][-1]
    page.goto("/#/models/rpmask-demo")
    for alias in ("champion", "selected"):
        see(page, re.compile(rf"@\s*{alias}"))
    page.goto(f"/#/models/rpmask-demo/versions/{last['finetune']['model']['version']}")
    see(page, "finetune demo 93.75%")  # the run it came from, as a link
    for step in ("sample", "select", "finetune"):
        see(page, last[step]["run_id"])
    page.get_by_text("finetune demo 93.75%").first.click()
    see(page, "retention")


def test_ui_opens_the_experiment_as_model_training(page: Any, road: Road, ui: str) -> None:
    """By the address that `rpmask ui` prints; without it MLflow begins with pages on GenAI."""
    store = f"sqlite:///{road[0]}/mlflow.db"
    page.goto(ui_page(store, ui, "rpmask"))
    see(page, "run demo to 93.75%")
    navigation = page.get_by_role("navigation").first
    navigation.get_by_text("Models", exact=True).wait_for(state="visible")
    assert page.get_by_text("Sessions", exact=True).count() == 0


def test_champion_under_models_has_metrics_with_their_dataset(
    page: Any, road: Road, client: MlflowClient
) -> None:
    finetune = road[1]["levels"][-1]["finetune"]
    model = client.get_run(finetune["run_id"]).outputs.model_outputs[0].model_id
    page.goto(f"/#/experiments/{experiment(client)}/models/{model}?{MODEL_TRAINING}")
    see(page, "finetune demo 93_75")
    row = page.get_by_role("row").filter(has_text="dev/accuracy")
    row.wait_for(state="visible")
    assert "demo-dev" in row.inner_text()
    assert f"{finetune['dev']['accuracy']:g}" in row.inner_text()
    see(page, f"v{finetune['model']['version']}")


def test_champions_compare_side_by_side(page: Any, road: Road, client: MlflowClient) -> None:
    """Charts of metrics under the dataset they were measured on, with the name of each model.

    How many digits a bar shows is the chart's choice; the page of a model has the figures.
    """
    page.goto(f"/#/experiments/{experiment(client)}/models?viewMode=CHART&{MODEL_TRAINING}")
    see(page, "demo-dev")
    for name in ("80", "93_75"):
        see(page, f"finetune demo {name}")
