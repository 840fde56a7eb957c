"""Starts Firefox with a new profile, and prints what it made of the image's settings, as JSON.

Firefox is asked by Marionette, its own protocol for tests: length, colon, JSON. Its recommended settings for tests are off:
they would hide the questions that this program looks for."""

import json
import socket
import subprocess
import tempfile
import time

PORT = 2829
LIMIT = 60  # seconds

QUESTION = """
const { policies, prefs, wm } = Services;
const window = wm.getMostRecentWindow("navigator:browser");
if (!window?.gBrowserInit?.delayedStartupFinished) return null;
const bars = [window.gNotificationBox, window.gBrowser.getNotificationBox()];
const locked = name => prefs.prefIsLocked(name) && String(prefs.getBoolPref(name));
return window.gBrowserInit.idleTasksFinished.promise.then(() => ({
    active: policies.status == policies.ACTIVE ? policies.getActivePolicies() : null,
    windows: [...wm.getEnumerator(null)].map(window => window.document.documentURI),
    tabs: [...window.gBrowser.tabs].map(tab => tab.linkedBrowser.currentURI.spec),
    bars: bars.flatMap(box => box.allNotifications.map(bar => bar.getAttribute("value"))),
    panels: [...window.document.querySelectorAll("panel")].filter(panel => panel.state == "open").map(panel => panel.id),
    upload: locked("datareporting.healthreport.uploadEnabled"),
    usage: locked("datareporting.usage.uploadEnabled"),
    default_browser: locked("browser.shell.checkDefaultBrowser"),
    updates: policies.isAllowed("appUpdate"),
    sandbox_warning: prefs.getBoolPref("security.sandbox.warn_unprivileged_namespaces"),
}));
"""


def call(connection, name, **params):
    message = json.dumps([0, 1, name, params]).encode()
    connection.write(b"%d:%s" % (len(message), message))
    connection.flush()
    _, _, error, result = answer(connection)
    if error:
        raise SystemExit(f"{name}: {error}")
    return result


def answer(connection):
    length = b""
    while (byte := connection.read(1)) != b":":
        length += byte
    return json.loads(connection.read(int(length)))


def until(probe):
    end = time.monotonic() + LIMIT
    while (value := probe()) is None:
        if time.monotonic() > end:
            raise SystemExit(f"Firefox did not answer within {LIMIT} s")
        time.sleep(0.1)
    return value


def connect():
    try:
        return socket.create_connection(("127.0.0.1", PORT)).makefile("rwb")
    except OSError:
        return None


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    with open(f"{profile}/user.js", "w") as settings:
        settings.write(f'user_pref("marionette.port", {PORT});\nuser_pref("remote.prefs.recommended", false);\n')
    command = ["firefox-esr", "--no-remote", "--profile", profile, "--marionette", "--remote-allow-system-access"]
    with open("/tmp/firefox.log", "w") as log:
        firefox = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        connection = until(connect)
        answer(connection)
        call(connection, "WebDriver:NewSession")
        call(connection, "Marionette:SetContext", value="chrome")
        print(json.dumps(until(lambda: call(connection, "WebDriver:ExecuteScript", script=QUESTION, args=[])["value"])))
        picture = "ffmpeg -v error -y -f x11grab -i :0 -frames:v 1 /tmp/firefox.png"
        subprocess.run(picture.split(), check=True, stdin=subprocess.DEVNULL)
    finally:
        firefox.terminate()
        firefox.wait(LIMIT)
