#!/usr/bin/env python3
"""fetch.py SOURCES NAME [URL [SHA256]]: a program that no package archive has.

NAME is a table of the file SOURCES (docker/sources.toml). Without a URL the table's own is fetched: where that does not
work, the program is left out, and a line in LEFT_OUT says why, for `desktopd status`. A URL that a person gave, with its
sum, must work. The URL `none` leaves the program out. A Debian package is installed, a program goes to /usr/local/bin.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

# What the daemon reads: PROGRAM, a tab, a sentence.
LEFT_OUT = "/usr/share/desktopd/left-out"
# A proxy's certificate authorities, a secret of the build.
AUTHORITIES = "/run/secrets/ca"
# The machine in the header of a program, by the distribution's name.
MACHINES = {62: "amd64", 183: "arm64"}
POLICY = "/usr/sbin/policy-rc.d"


class Unreachable(Exception):
    """The program is not to be had here, and nothing was changed."""


class Wrong(Exception):
    """What has come is not what was asked for, or could not be installed."""


def read(path, name):
    """The table `name` of the file at `path`."""
    with open(path, "rb") as file:
        return tomllib.load(file)[name]


def address(source, release, arch):
    """The URL of a release's file, and the key of its sum."""
    url = source["url"].format(version=source["version"], release=release, arch=arch)
    return url, f"{release}-{arch}" if "{release}" in source["url"] else arch


def download(url, file):
    """Fetches `url` into `file`. Returns the sum."""
    command = ["curl", "--fail", "--silent", "--show-error", "--location", "--connect-timeout", "20", "--retry", "2"]
    # A server that sends nothing for a minute is given up. From HTTPS nothing leads to HTTP.
    command += ["--speed-limit", "1", "--speed-time", "60", "--proto", "=https" if url.startswith("https:") else "=http,https"]
    if os.path.exists(AUTHORITIES) and os.path.getsize(AUTHORITIES):
        command += ["--cacert", AUTHORITIES]
    done = subprocess.run(command + ["--output", file, url], stderr=subprocess.PIPE, text=True)
    said = (done.stderr.strip().splitlines() or [f"curl ended with {done.returncode}"])[-1]
    if done.returncode == 23:
        raise Wrong(f"{url} does not fit on the disk ({said})")
    if done.returncode:
        raise Unreachable(f"{url} could not be downloaded ({said})")
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def kind(file, url):
    """'deb' or 'program', by the content of `file`."""
    with open(file, "rb") as content:
        head = content.read(512)
    if head.startswith(b"!<arch>\ndebian-binary"):
        return "deb"
    if head.startswith((b"\x7fELF", b"#!")):
        return "program"
    if re.match(rb"(?i)\s*(<!doctype html|<html|<\?xml)", head):
        raise Unreachable(f"{url} answers with a web page, not with a Debian package or a program")
    raise Wrong(f"{url} is neither a Debian package nor a program")


def architecture(file, sort):
    """The architecture of the package or program, or None where it has none."""
    if sort == "deb":
        done = subprocess.run(["dpkg-deb", "--field", file, "Architecture"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Wrong(f"dpkg-deb cannot read the package ({(done.stderr.strip().splitlines() or [str(done.returncode)])[-1]})")
        return None if done.stdout.strip() == "all" else done.stdout.strip()
    with open(file, "rb") as content:
        head = content.read(20)
    if not head.startswith(b"\x7fELF"):
        return None
    number = int.from_bytes(head[18:20], "little")
    return MACHINES.get(number, f"machine {number}")


def apt(*words):
    """Runs apt-get; its output is shown, and an error says its last words."""
    command = ["apt-get", "-q", *words]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines()]
        # What is missing says more than apt's conclusion from it.
        for sign in ["No space left", ": Depends:", "E:"]:
            telling = [line for line in lines if sign in line]
            if telling:
                break
        raise Wrong(f"apt-get {words[0]} failed ({'; '.join(telling[:2]) or (lines or ['it says nothing'])[-1]})")


def install(name, file, sort):
    """Installs the package or program."""
    if sort == "program":
        os.makedirs("/usr/local/bin", exist_ok=True)
        try:
            shutil.copyfile(file, f"/usr/local/bin/{name}")
        except OSError as error:
            raise Wrong(f"/usr/local/bin/{name} cannot be written ({error.strerror})") from error
        os.chmod(f"/usr/local/bin/{name}", 0o755)
        return
    # 101: when a package's script wants to start its daemon, this exit code forbids it.
    with open(POLICY, "w", encoding="ascii") as policy:
        policy.write("#!/bin/sh\nexit 101\n")
    os.chmod(POLICY, 0o755)
    try:
        # What cannot be installed shows before anything is changed.
        try:
            apt("install", "--simulate", "-y", "--no-install-recommends", file)
        except Wrong as error:
            raise Unreachable(str(error)) from error
        apt("install", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", file)
    finally:
        os.remove(POLICY)
    # Keys that all containers of the image would share, and what no container needs.
    for leftover in ["/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/var/log/dpkg.log", "/var/log/alternatives.log"]:
        if os.path.exists(leftover):
            os.remove(leftover)
    shutil.rmtree("/var/log/apt", ignore_errors=True)


def here():
    """The code name and the architecture of this distribution."""
    with open("/etc/os-release", encoding="utf-8") as file:
        name = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', file.read(), re.MULTILINE)
    arch = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return name[1] if name else "unknown", arch


def fetch(source, name, url, wanted, arch, says):
    """Downloads, checks and installs. `wanted` is the sum, or empty where none is known; `says` is who says it."""
    with tempfile.TemporaryDirectory() as folder:
        # apt's own user reads the package.
        os.chmod(folder, 0o755)
        file = os.path.join(folder, f"{name}.deb")
        found = download(url, file)
        sort = kind(file, url)
        if wanted and found != wanted:
            raise Wrong(f"{url} has the SHA-256 sum {found}, and {says} says {wanted}")
        theirs = architecture(file, sort)
        if theirs not in (None, arch):
            raise Wrong(f"{url} is for {theirs}, and this image is for {arch}")
        if not wanted:
            print(f"fetch: {source['title']}: docker/sources.toml has no sum for {url} yet; it has come as {found}", flush=True)
        if sort == "deb":
            apt("update")
        install(name, file, sort)


def leave_out(source, why, name):
    """Says that the program is not in the image."""
    argument = name.upper()
    why = " ".join(why.split())
    sentence = (
        f"{source['title']} is not in this image: {why}. Build the image again where that works, with "
        f"--build-arg FETCH=again, or name another file with {argument}_URL and {argument}_SHA256"
    )
    print(f"fetch: {source['title']} is left out: {why}", flush=True)
    os.makedirs(os.path.dirname(LEFT_OUT), exist_ok=True)
    with open(LEFT_OUT, "a", encoding="utf-8") as file:
        file.write(f"{source['program']}\t{sentence}\n")


def main(path, name, url="", wanted=""):
    source = read(path, name)
    argument = name.upper()
    if url == "none":
        print(f"fetch: {source['title']} is left out, as {argument}_URL=none says")
        return
    release, arch = here()
    if url:
        if not url.startswith(("https://", "http://")):
            raise Wrong(f"'{url}' is not a URL: it must begin with https:// or http://, or be none")
        if not re.fullmatch(r"[0-9a-fA-F]{64}", wanted):
            given = f"'{wanted}' is not" if wanted else "a URL needs"
            sys.exit(f"fetch: {argument}_SHA256: {given} a SHA-256 sum of 64 digits (0-9, a-f): sha256sum prints that of a file")
        try:
            fetch(source, name, url, wanted.lower(), arch, f"{argument}_SHA256")
        except Unreachable as error:
            raise Wrong(str(error)) from error
        return
    if wanted:
        sys.exit(f"fetch: {argument}_SHA256 is set without {argument}_URL: set both or none")
    try:
        if arch not in MACHINES.values():
            raise Unreachable(f"its project releases it for {' and '.join(MACHINES.values())}, and this image is for {arch}")
        if release not in source.get("releases", [release]):
            raise Unreachable(f"docker/sources.toml knows no package of it for {release}")
        url, key = address(source, release, arch)
        wanted = source.get("sha256", {}).get(key, "")
        if not wanted and not url.startswith("https:"):
            raise Unreachable(f"docker/sources.toml has no sum for {url}")
        fetch(source, name, url, wanted, arch, "docker/sources.toml")
    except Unreachable as error:
        leave_out(source, str(error), name)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Wrong as error:
        name = sys.argv[2].upper()
        sys.exit(f"fetch: {name}_URL: {' '.join(str(error).split())}; {name}_URL=none leaves the program out")
    except OSError as error:
        name = sys.argv[2].upper()
        sys.exit(f"fetch: {name}_URL: {error.filename or 'a file'} cannot be written or read ({error.strerror})")
