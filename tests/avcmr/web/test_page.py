"""The page in a real browser: Chromium without a window, with a made-up microphone."""

import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.patience import PATIENCE

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
NAMES = ("chromium", "chromium-browser", "google-chrome")

QUERY = "#query .label"
RESULTS = "#cards.finds-picture, #cards.finds-sound"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]
    with playwright.sync_playwright() as started:
        own = started.chromium.executable_path  # of "playwright install chromium"
        found = next(filter(None, map(shutil.which, (*NAMES, own))), None)
        if found is None:
            pytest.skip(f"needs Chromium: none of {', '.join(NAMES)} in PATH, and no {own}")
        browser = started.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """The page; whatever it complains of on its console, and any request elsewhere, fails."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    faults: list[str] = []
    page.on("console", lambda line: line.type in ("error", "warning") and faults.append(line.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda one: local(one.url, address) or faults.append(one.url))
    page.goto(address)
    page.wait_for_selector("#cards .card")
    yield page
    context.close()
    assert not faults


def local(url: str, address: str) -> bool:
    return url.startswith((f"{address}/", f"blob:{address}/"))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    yield from opened(browser, address)


@pytest.fixture
def phone(browser: Any, address: str) -> Iterator[Any]:
    size = {"width": 360, "height": 740}
    yield from opened(browser, address, viewport=size, is_mobile=True, has_touch=True)


def until(page: Any, expression: str) -> None:
    """Wait for JavaScript to be true, without the eval that the page's policy forbids."""
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(30)


def labels(page: Any) -> list[str]:
    found: list[str] = page.locator("#cards .label").all_inner_texts()
    return found


def search_with(page: Any, id_: str) -> None:
    page.click(f'#cards [data-id="{id_}"] .again')
    page.wait_for_selector(RESULTS)


def test_search_by_item_and_turn_it_round(page: Any) -> None:
    assert page.locator("#cards .card").count() == 12
    assert labels(page)[:3] == ["low", "middle", "high"]  # one of each class first
    search_with(page, "middle/middle_05")
    assert page.inner_text("#title") == "Pictures that fit the sound of middle/middle_05"
    assert labels(page)[:4] == ["middle"] * 4
    assert page.inner_text("#summary") == "4 of 12 of the class middle"
    marks = page.locator("#cards .mark").all_inner_texts()
    assert marks.count("the same clip") == 1 and marks.count("same class") == 3
    assert marks.count("other class") == 8
    page.check("input[name=find][value=sound]", force=True)
    page.wait_for_selector("#cards.finds-sound")
    assert page.inner_text("#title") == "Sounds that fit the picture of middle/middle_05"
    assert "find=sound" in page.url
    page.go_back()
    page.wait_for_selector("#cards.finds-picture")
    page.go_back()
    page.wait_for_selector("#cards.collection")


def test_filters(page: Any) -> None:
    page.select_option("#label", "high")
    until(page, "document.querySelectorAll('#cards .card').length === 4")
    assert labels(page) == ["high"] * 4
    search_with(page, "high/high_09")
    assert labels(page) == ["high"] * 4  # the filter stays
    page.select_option("#label", "")
    until(page, "document.querySelectorAll('#cards .card').length === 12")
    page.select_option("#split", "test")
    until(page, "document.querySelectorAll('#cards .card').length === 6")
    assert all("test" in one for one in page.locator("#cards .id").all_inner_texts())
    page.click("text=Back to all clips")
    page.wait_for_selector("#cards.collection")
    page.fill("#text", "low_02")
    until(page, "document.querySelectorAll('#cards .card').length === 1")


def test_upload_a_sound_a_picture_and_a_clip(page: Any, served: Any) -> None:
    page.set_input_files("#file", served.sound)
    page.wait_for_selector("#cards.finds-picture")
    assert page.inner_text(QUERY) == "your sound" and labels(page)[:4] == ["high"] * 4
    assert page.locator("input[name=find][value=sound]").is_disabled()
    page.wait_for_selector("#query .wave svg")  # the waveform is the browser's own
    assert page.locator("#cards .mark").all_inner_texts() == []  # its class is not known
    page.set_input_files("#file", served.image)
    page.wait_for_selector("#cards.finds-sound")
    assert page.inner_text(QUERY) == "your picture" and labels(page)[:4] == ["low"] * 4
    assert page.evaluate("document.querySelector('#query img').naturalWidth") == 64
    page.set_input_files("#file", served.clip)
    until(page, f"document.querySelector('{QUERY}')?.innerText === 'your clip'")
    page.check("input[name=find][value=picture]", force=True)
    page.wait_for_selector("#cards.finds-picture")
    assert labels(page)[:4] == ["middle"] * 4


def test_drop_a_file(page: Any, served: Any) -> None:
    content = list(served.image.read_bytes())
    transfer = page.evaluate_handle(
        """(content) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], "red.png"));
            return transfer;
        }""",
        content,
    )
    page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    assert page.is_visible("#dropping")
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#cards.finds-sound")
    assert page.is_hidden("#dropping") and labels(page)[:4] == ["low"] * 4


def test_record(page: Any) -> None:
    page.click("#record")
    until(page, "document.querySelector('#record-text').innerText.includes('2 s')")
    page.click("#record")
    page.wait_for_selector("#cards.finds-picture")
    assert page.inner_text(QUERY) == "your sound"
    assert page.inner_text("#record") == "Record"


def test_what_cannot_be_used_is_said(browser: Any, address: str, tmp_path: Any) -> None:
    page = browser.new_context().new_page()  # whose console tells of the refusal
    page.goto(address)
    page.wait_for_selector("#cards .card")
    bad = tmp_path / "notes.wav"
    bad.write_bytes(b"no sound at all")
    page.set_input_files("#file", bad)
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem").startswith("notes.wav: not a readable media file")
    assert page.locator("#cards.collection .card").count() == 12  # and all goes on
    page.context.close()


def test_play_a_cut(page: Any) -> None:
    """Sound and picture play, from the clip's start to its end."""
    card = page.locator('[data-id="low/low_01"]')
    assert "0.5–1.5 s" in card.locator(".id").inner_text()
    card.locator(".play").click()
    playing = "[...document.querySelectorAll('video')].find((one) => !one.paused)"
    until(page, f"{playing}?.currentTime > 0.5")
    until(page, "[...document.querySelectorAll('video')].every((one) => one.paused)")
    assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(0.5)
    assert page.evaluate("document.querySelector('video').videoWidth") == 64


def test_keyboard_alone(page: Any) -> None:
    keyboard = page.keyboard
    focused = "document.activeElement"
    keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "main"
    seen = []
    for _ in range(5):
        keyboard.press("Tab")
        seen.append(page.evaluate(f"{focused}.className || {focused}.id"))
        ring = f"({focused}.matches('.again') ? {focused}.closest('.card') : {focused})"
        assert page.evaluate(f"getComputedStyle({ring}).outlineStyle") != "none", seen
    assert seen[:4] == ["text", "play", "wave untouched", "again"]
    keyboard.press("Shift+Tab")
    assert page.evaluate(f"{focused}.className") == "again"
    keyboard.press("Shift+Tab")
    keyboard.press("ArrowRight")
    until(page, f"{focused}.getAttribute('aria-valuenow') === '5'")
    assert page.evaluate(f"{focused}.getAttribute('aria-valuetext')") == "0.1 of 2.0 seconds"
    keyboard.press("Tab")
    keyboard.press("Enter")
    page.wait_for_selector("#cards.finds-picture")
    assert page.evaluate(f"{focused}.id") == "main"
    assert "12 pictures found. 4 of 12" in page.inner_text("#status")
    page.focus("input[name=find]:checked")
    keyboard.press("ArrowRight")
    page.wait_for_selector("#cards.finds-sound")


def test_everything_has_a_name(page: Any) -> None:
    search_with(page, "low/low_00")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, [role=slider], iframe")]
            .filter((one) => one.checkVisibility())
            .filter((one) => !(one.getAttribute("aria-label") || one.innerText || one.title
                || [...(one.labels ?? [])].some((label) => label.textContent.trim())))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.querySelectorAll('img:not([alt])').length") == 0
    assert page.evaluate("document.documentElement.lang") == "en"


def test_map(page: Any) -> None:
    page.click("nav [data-view=map]")
    page.wait_for_selector("#canvas[data-points='24']")
    page.focus("#canvas")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#tip:not([hidden])")
    said = page.inner_text("#status")
    id_ = re.search(r"\w+/\w+", said)[0]  # type: ignore[index]
    assert id_ in page.inner_text("#tip")
    # The mouse finds the same clip where the map shows it.
    place = page.evaluate(
        """async (id) => {
            const map = await (await fetch("/api/map")).json();
            const box = document.querySelector("#canvas").getBoundingClientRect();
            const [x, y] = map.visual[map.items.findIndex((item) => item.id === id)];
            return [box.x + 28 + x * (box.width - 56), box.y + 28 + y * (box.height - 56)];
        }""",
        "high/high_10",
    )
    page.mouse.move(10, 10)
    page.mouse.move(*place)
    page.wait_for_selector("#tip:not([hidden]) img")
    assert "high" in page.inner_text("#tip")
    page.mouse.click(*place)
    page.wait_for_selector(RESULTS)
    assert "high/high_" in page.inner_text("#title")


def test_report(page: Any) -> None:
    page.click("nav [data-view=report]")
    frame = page.frame_locator("#report")
    assert frame.locator("h1").inner_text() == "Made-up results"
    weight = "(one) => getComputedStyle(one).fontWeight"
    assert frame.locator(".headline dd").first.evaluate(weight) == "650"  # its styles are allowed
    page.query_selector("#report").content_frame().wait_for_load_state()
    widths = frame.locator("img").evaluate_all("(all) => all.map((one) => one.naturalWidth)")
    assert len(widths) > 20 and all(widths)  # and its pictures
    assert frame.locator("svg path").count() > 20


def test_on_a_phone(phone: Any) -> None:
    search_with(phone, "low/low_00")
    for view in ("search", "map", "report"):
        phone.click(f"nav [data-view={view}]")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    phone.click("nav [data-view=map]")
    phone.wait_for_selector("#canvas[data-points='24']")
    small = phone.evaluate(
        """() => [...document.querySelectorAll("nav a, button, select, .button")]
            .filter((one) => one.checkVisibility())
            .map((one) => [one.outerHTML, one.getBoundingClientRect()])
            .filter(([, { width, height }]) => Math.min(width, height) < 24)"""
    )
    assert small == []  # a finger hits them (WCAG 2.2, 2.5.8)
