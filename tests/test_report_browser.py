"""The report in a real browser: Chromium, driven over the pipes of its DevTools protocol.

At 400 and 1,400 pixels, light and dark, and on paper: no message in the console, no request but
the page's own, nothing wider than the window, text that can be read, figures with names, and
everything that scrolls within reach of the keyboard. Pages broken on purpose must be found out.
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import mixtura as mx
from mixtura.cli.record import thinned
from mixtura.report import fit_check, render
from mixtura.report.observations import Observations
from mixtura.sources import Rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

WIDTHS, SCHEMES = (400, 1400), ("light", "dark")
#: Width of an A4 page between its margins, in CSS pixels.
PAPER = 680

#: What the page is asked about itself.
MEASURE = r"""
(() => {
  const parse = text => {
    const parts = (text.match(/[\d.]+/g) || []).map(Number);
    return parts.length < 3 ? null : [...parts.slice(0, 3), parts.length > 3 ? parts[3] : 1];
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(
      v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const paint = parse(getComputedStyle(at).backgroundColor);
      if (paint && paint[3] > 0) layers.push(paint);
      if (paint && paint[3] === 1) break;
    }
    let rgb = [255, 255, 255];
    for (const layer of layers.reverse())
      rgb = rgb.map((v, i) => v * (1 - layer[3]) + layer[i] * layer[3]);
    return rgb;
  };
  const surface = getComputedStyle(document.documentElement).getPropertyValue('--surface').trim();
  const probe = document.createElement('i');
  probe.style.color = surface;
  document.body.append(probe);
  const white = getComputedStyle(probe).color;
  probe.remove();
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const at = node.parentElement, style = getComputedStyle(at);
    if (!node.data.trim() || !at.getClientRects().length) continue;
    if (style.visibility !== 'visible') continue;
    if (at.closest('.unseen, .skip:not(:focus), script, style')) continue;
    const ink = at.ownerSVGElement ? style.fill : style.color;
    if (at.ownerSVGElement && ink === white) continue;  // a number on a mark
    const front = parse(ink);
    if (!front) continue;
    const [a, b] = [light(front.slice(0, 3)), light(behind(at))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) faint.push(`${node.data.trim().slice(0, 30)} (${ratio.toFixed(2)})`);
  }
  const seen = [...document.querySelectorAll('body *')].filter(
    at => at.getClientRects().length && at.checkVisibility() && !at.closest('svg, .unseen'));
  const scrolls = seen.filter(at => /auto|scroll/.test(getComputedStyle(at).overflowX));
  window.regions = scrolls;
  const shut = seen.filter(at => getComputedStyle(at).overflowX !== 'visible'
    && (at.scrollWidth > at.clientWidth + 1 || at.scrollHeight > at.clientHeight + 1));
  return {
    wide: document.documentElement.scrollWidth, window: innerWidth,
    tables: [...document.querySelectorAll('.card table')].filter(
      at => at.scrollWidth > at.parentElement.clientWidth + 1).length,
    faint, white,
    scrolls: scrolls.length,
    unnamed: scrolls.filter(
      at => !at.getAttribute('aria-label') || !at.getAttribute('role')).length,
    clipped: shut.map(at => at.tagName + '.' + at.className),
    folded: [...document.querySelectorAll('details')].filter(
      at => !at.lastElementChild.checkVisibility({contentVisibilityAuto: true})
        && !/unfold/.test(getComputedStyle(at.firstElementChild, '::after').content)).length,
    svgs: document.querySelectorAll('svg').length,
    paper: behind(document.body), ink: parse(getComputedStyle(document.body).color),
  };
})()
"""

FOCUSED = r"""
(() => {
  const at = document.activeElement, style = getComputedStyle(at);
  return {
    tag: at.tagName, skip: at.matches('.skip'), region: window.regions.indexOf(at),
    outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
    there: at.getBoundingClientRect().top >= 0,
  };
})()
"""


class Browser:
    """A headless Chromium; commands go to its descriptor 3, answers come from its 4."""

    def __init__(self, folder):
        command, answer = os.pipe(), os.pipe()
        launch = (
            "import fcntl, os, sys; read, write = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) "
            "for fd in sys.argv[1:3]); os.dup2(read, 3); os.dup2(write, 4); "
            "os.execv(sys.argv[3], sys.argv[3:])"
        )
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", launch, str(command[0]), str(answer[1]), CHROMIUM,
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
                f"--user-data-dir={folder}", "about:blank",
            ],
            pass_fds=(command[0], answer[1]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(command[0])
        os.close(answer[1])
        self.write, self.read = command[1], answer[0]
        fcntl.fcntl(self.read, fcntl.F_SETFL, os.O_NONBLOCK)
        self.buffer, self.events, self.count, self.session = b"", [], 0, None

    def close(self):
        os.close(self.write)
        os.close(self.read)
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def message(self, until):
        """The next message, as the browser sends it."""
        while b"\0" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.read], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self.read, 1 << 20)
            if not part:
                raise ConnectionError("the browser has gone")
            self.buffer += part
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def __call__(self, method, timeout=30, **parameters):
        """Run a command in the open page; its result."""
        self.count += 1
        order = {"id": self.count, "method": method, "params": parameters}
        if self.session is not None:
            order["sessionId"] = self.session
        os.write(self.write, json.dumps(order).encode() + b"\0")
        until = time.monotonic() + timeout
        while True:
            found = self.message(until)
            if found.get("id") == self.count:
                assert "error" not in found, found
                return found["result"]
            self.events.append(found)

    def wait(self, method, timeout=30):
        """Until an event has come."""
        until = time.monotonic() + timeout
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.message(until))

    def open(self, path):
        """A new tab with the page in it, all of whose doings are noted."""
        self.session, self.events = None, []
        self.target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=self.target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self(f"{domain}.enable")
        self.events.clear()
        self("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")

    def shut(self):
        self.session = None
        self("Target.closeTarget", targetId=self.target)

    def look(self, width, scheme, media="screen"):
        """Set window, theme and medium, and let the page settle."""
        self(
            "Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1,
            mobile=False,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self("Emulation.setEmulatedMedia", media=media, features=features)
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def ask(self, expression):
        """The value of a JavaScript expression."""
        found = self(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, code, text=""):
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        down = {"type": "keyDown" if text else "rawKeyDown", **({"text": text} if text else {})}
        self("Input.dispatchKeyEvent", **down, **common)
        self("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, path):
        found = self("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    try:
        found("Browser.getVersion")
    except (TimeoutError, ConnectionError, BrokenPipeError) as error:
        found.process.kill()
        pytest.skip(f"Chromium does not run here: {error}")
    yield found
    found.close()


# ------------------------------------------------------------------ what is wrong with a page


def faults(browser, path):
    """All that is wrong with a page, as sentences."""
    browser.open(path)
    found = []
    for width, scheme in itertools.product(WIDTHS, SCHEMES):
        browser.look(width, scheme)
        seen, where = browser.ask(MEASURE), f"at {width} pixels, {scheme}"
        if seen["wide"] > seen["window"]:
            found.append(f"overflow: {seen['wide']} pixels wide {where}")
        if seen["tables"]:
            found.append(f"overflow: {seen['tables']} tables wider than their cards {where}")
        found += [f"contrast of {text} {where}" for text in seen["faint"]]
        if seen["unnamed"]:
            found.append(f"region: {seen['unnamed']} scroll regions without a name {where}")
        if (seen["paper"][0] < 100) != (scheme == "dark"):
            found.append(f"theme: the paper is {seen['paper']} {where}")
        if scheme == "light":
            found += [f"{fault} {where}" for fault in _keyboard(browser, seen["scrolls"])]
    found += _names(browser, seen["svgs"])
    browser.look(PAPER, "dark", "print")
    seen = browser.ask(MEASURE)
    found += [f"print: {name} is clipped" for name in seen["clipped"]]
    if seen["wide"] > PAPER:
        found.append(f"print: {seen['wide']} pixels wide on a paper of {PAPER}")
    if min(seen["paper"]) < 255 or max(seen["ink"][:3]) > 100:
        found.append("print: dark colours on paper")
    if seen["folded"]:
        found.append(f"print: {seen['folded']} details stay folded")
    found += [f"print: contrast of {text}" for text in seen["faint"]]
    found += _doings(browser, path)
    browser.shut()
    return found


def _keyboard(browser, scrolls):
    """Tab through the page from its top: the skip link first, every scroll region in turn."""
    browser.ask("(document.activeElement.blur(), scrollTo(0, 0), getSelection().removeAllRanges())")
    found, reached, steps = [], set(), []
    for _ in range(200):
        browser.press("Tab", 9)
        at = browser.ask(FOCUSED)
        if at["tag"] == "BODY":
            break
        steps.append(at)
        reached.add(at["region"])
        if not at["outline"]:
            found.append(f"focus: not seen on {at['tag']}")
    if not steps or not steps[0]["skip"] or not steps[0]["there"]:
        found.append("keyboard: the skip link does not come first, or is not seen")
    missed = set(range(scrolls)) - reached
    if missed:
        found.append(f"keyboard: {len(missed)} of {scrolls} scroll regions are out of reach")
    return found


def _names(browser, svgs):
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node.get("ignored")]

    def role(node):
        return node.get("role", {}).get("value")

    def name(node):
        return node.get("name", {}).get("value", "")

    figures = [name(node) for node in shown if role(node) in ("image", "img")]
    found = [f"figure: {len(figures)} of {svgs} are told to screen readers"] * (
        len(figures) != svgs
    )
    found += ["figure: without a name"] * sum(len(text) < 10 for text in figures)
    roles = {role(node) for node in shown}
    for landmark in ("main", "banner", "contentinfo", "navigation"):
        if landmark not in roles:
            found.append(f"landmark: no {landmark}")
    tables = [name(node) for node in shown if role(node) == "table"]
    found += ["table: without a caption"] * sum(not text for text in tables)
    return found


def _doings(browser, path):
    """Console messages, exceptions and requests since the page was opened."""
    found, requests = [], []
    for event in browser.events:
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            found.append(f"console: {told['args'][:1]}")
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            found.append(f"console: {told['entry']['text']}")
        elif method == "Runtime.exceptionThrown":
            found.append(f"exception: {told['exceptionDetails']['text']}")
        elif method == "Network.requestWillBeSent":
            requests.append(told["request"]["url"])
    if requests != [path.as_uri()]:
        found.append(f"request: {requests}")
    return found


# ------------------------------------------------------------------ the pages


def mixture_of(k, d, columns, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    weights = np.sort(rng.uniform(1, 3, size=k))[::-1]
    means = 2 * rng.normal(size=(k, d))
    return mx.Mixture(weights, means, root @ root.transpose(0, 2, 1), columns=columns)


def page_of(mixture, folder, *, trials=(), rows=None, **info):
    rows = Rows(mixture.sample(300, rng=0)) if rows is None else rows
    trace = thinned([-9.0 - 1 / i for i in range(1, 30)])
    told = {
        "data": "data.csv", "n_components": mixture.k, "covariance_type": "full", "bic": 1234.5,
        "log_likelihood": -2.5, "n_parameters": 11, "n_rows": 300, "trials": list(trials),
        "trace": trace, "model": "a_rather_long_name_of_a_model_file.safetensors", **info,
    }  # fmt: skip
    path = folder / "report.html"
    render(path, mixture, rows, told, check=fit_check(mixture, rows, told, fitted=False))
    return path


def trial(k, structure, bic):
    return {
        "n_components": k, "covariance_type": structure, "bic": bic, "log_likelihood": -bic / 544,
        "n_parameters": 6 * k - 1, "n_iter": 12, "converged": True, "seconds": 0.1, "error": None,
    }  # fmt: skip


@pytest.fixture(scope="module")
def long_page(tmp_path_factory):
    """Three components, twelve columns of awkward names, a long table of fits."""
    names = ["a", "a_very_long_name_of_a_column_with_parts", "x" * 60, *(f"v{j}" for j in range(9))]
    trials = [trial(k, name, 1300.0 - k) for k in range(1, 9) for name in ("full", "tied")]
    folder = tmp_path_factory.mktemp("long")
    return page_of(mixture_of(3, 12, names), folder, trials=trials, bic=1292.0, n_components=8)


@pytest.fixture(scope="module")
def short_page(tmp_path_factory):
    """One column, two components, a table of fits that folds."""
    folder = tmp_path_factory.mktemp("short")
    trials = [trial(k, name, 1300.0 - k) for k in range(1, 8) for name in ("full", "tied")]
    return page_of(mixture_of(2, 1, ["only"]), folder, trials=trials)


def test_a_long_page_has_no_faults(browser, long_page):
    assert faults(browser, long_page) == []


def test_a_short_page_has_no_faults(browser, short_page):
    assert faults(browser, short_page) == []


@pytest.fixture(scope="module")
def measured_page(tmp_path_factory):
    """Long names, gaps in many patterns, and errors of which some columns have none."""
    rng = np.random.default_rng(0)
    names = [*(f"some_column_with_a_rather_long_name_{j}" for j in range(8)), "b"]
    mixture = mixture_of(3, 9, names)
    x = mixture.sample(120, rng=1)
    noise = rng.uniform(0.1, 2.0, x.shape) * (np.arange(9) % 3 > 0)
    x[rng.random(x.shape) < 0.2] = np.nan
    errors = tuple(f"error_of_{name}" if j % 3 else None for j, name in enumerate(names))
    rows = Observations(x, noise=noise, errors=errors, empty=3)
    return page_of(mixture, tmp_path_factory.mktemp("measured"), rows=rows)


def test_a_page_of_measured_rows_has_no_faults(browser, measured_page):
    assert faults(browser, measured_page) == []


def test_details_open_by_keyboard(browser, long_page):
    browser.open(long_page)
    browser.look(1400, "light")
    browser.ask("document.querySelector('summary').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.ask("document.querySelector('details').open") is True
    browser.shut()


def test_the_contents_lead_to_their_sections(browser, long_page):
    browser.open(long_page)
    browser.look(1400, "light")
    links = browser.ask("[...document.querySelectorAll('nav a')].map(at => at.hash)")
    heads = browser.ask("[...document.querySelectorAll('main h2')].map(at => '#' + at.id)")
    assert links == heads
    browser.shut()


# ------------------------------------------------------------------ liars

LIARS = {
    "an image from elsewhere": (
        "request", "</main>", '<img alt="" src="http://127.0.0.1:9/x.png"></main>'
    ),
    "a message in the console": (
        "console", "</main>", "<script>console.error('no')</script></main>"
    ),
    "an exception": ("exception", "</main>", "<script>throw new Error('no')</script></main>"),
    "a wide element": ("overflow", "</main>", '<div style="width:1500px">wide</div></main>'),
    "faint text": ("contrast", "</main>", '<p style="color:#9a9a9a">faint</p></main>'),
    "a figure without a name": ("figure", r' aria-label="[^"]*">\n*<g', "><g"),
    "no skip link": ("skip link", r'<a class="skip".*?</a>', ""),
    "regions out of reach": ("out of reach", r' tabindex="0"', ""),
    "regions without names": ("without a name", r'role="region" aria-label="[^"]*"', ""),
    "focus that cannot be seen": ("focus", "</style>", "*:focus{outline:none!important}</style>"),
    "one theme only": ("theme", r"screen and \(prefers-color-scheme: dark\)", "speech"),
    "scroll boxes on paper": (
        "is clipped", "</style>",
        "@media print{.scroll{overflow:hidden!important;width:90px}}</style>",
    ),
    "folded tables on paper": ("print: 1 details", "details-content", "before"),
    "dark paper": ("print: dark", r"screen and \(prefers-color-scheme", "(prefers-color-scheme"),
    "no landmarks": ("landmark", r"<(/?)(main|nav)", r"<\1div"),
    "tables without captions": ("caption", r"<caption.*?</caption>", ""),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIARS)
def test_broken_pages_are_found_out(browser, short_page, tmp_path, lie):
    word, old, new = LIARS[lie]
    text = short_page.read_text(encoding="utf8")
    broken = re.sub(old, new, text, flags=re.DOTALL)
    assert broken != text
    path = tmp_path / "broken.html"
    path.write_text(broken, encoding="utf8")
    assert any(word in fault for fault in faults(browser, path))
