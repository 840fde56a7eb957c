"""The processes of tests/bench/gateway: desktopd, nginx, Caddy and the services behind them, on free ports of loopback.

No process is left behind: all processes die with this process (`setpriv --pdeathsig`) and get a signal to stop at the
end; a process that did not stop is found again by its group and by a marker in its environment.
"""

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

TICK = os.sysconf("SC_CLK_TCK")
FILE = 64 * 1024 * 1024
MARK = "DESKTOPD_BENCH=" + secrets.token_hex(8)


class Failed(Exception):
    """A result that would make the figures meaningless."""


class World:
    """A folder, and the processes that were started in it."""

    def __init__(self, binary, load):
        self.binary, self.load = binary, load
        self.dir = Path(tempfile.mkdtemp(prefix="desktopd-bench."))
        self.dir.chmod(0o755)  # nginx's workers run as another user
        self.running = []
        self.password = secrets.token_urlsafe(12)

    def start(self, name, words, env=None):
        """A process of its own group, whose output goes to a file. Not in a session of its own: the kernel
        (`sched_autogroup_enabled`) should give all of them together the weight of one program."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "LANG": "C.UTF-8", **(env or {})}
        environment.update([MARK.split("=")])
        with (self.dir / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, words)], env=environment, process_group=0,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if name == "once" else log, stderr=log)
        self.running.append(process)
        return process

    def run(self, *words, nice=0):
        """Runs a program to its end and returns its output."""
        process = self.start("once", ["nice", "-n", nice, *words])
        out = process.communicate()[0].decode()
        self.running.remove(process)
        if process.returncode != 0:
            log = (self.dir / "once.log").read_text(errors="replace").strip().splitlines()[-5:]
            raise Failed("\n".join([f"{Path(words[0]).name} ended with {process.returncode}", out, *log]))
        return out

    def measure(self, *words, nice=0):
        """Runs `load` and returns its counts."""
        return numbers(self.run(self.load, *words, nice=nice))

    def stop(self, process):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        kill_group(process.pid)
        process.wait()
        self.running.remove(process)

    def end(self):
        for process in self.running:
            process.terminate()
        for process in list(self.running):
            self.stop(process)
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                if MARK.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # it has ended, or belongs to another user
        shutil.rmtree(self.dir, ignore_errors=True)


class Peer:
    """A proxy: `http` and `ws` are its ports, `tls` and `tls_ws` those that speak TLS, if any."""

    def __init__(self, world, name, process, http, ws, tls, tls_ws):
        self.world, self.name, self.process = world, name, process
        self.http, self.ws, self.tls, self.tls_ws = http, ws, tls, tls_ws
        self.headers, self.tls_headers = [], []

    def pids(self):
        """The peer's own processes; a supervisor's services run other programs."""
        program, found, left = os.readlink(f"/proc/{self.process.pid}/exe"), [], [self.process.pid]
        while left:
            pid = left.pop()
            if os.readlink(f"/proc/{pid}/exe") == program:
                found.append(pid)
                for task in os.listdir(f"/proc/{pid}/task"):
                    left += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        return found

    def cpu(self):
        """Seconds of processor time so far."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids()]
        return sum(int(of[11]) + int(of[12]) for of in fields) / TICK

    def memory(self):
        """Its proportional share of memory (PSS) in KiB."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids()]
        return sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:"))

    def stop(self):
        self.world.stop(self.process)


def numbers(text):
    return {name: float(value) for name, value in (pair.split("=") for pair in text.split())}


def kill_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


_given = set()


def free_port():
    """A port that was free a moment ago, below the range that the kernel gives to outgoing connections."""
    while True:
        port = 20000 + secrets.randbelow(10000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def wait_for(port, process, log):
    for _ in range(1000):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if process.poll() is not None:
                break
            time.sleep(0.02)
    raise Failed(f"port {port} does not open: {log.read_text(errors='replace')[-2000:]}")


def speaks_tls(world, port):
    """Whether the port speaks TLS; another certificate than the other peers' would mean other work, and is an error."""
    context = ssl._create_unverified_context()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as stream:
            shown = stream.getpeercert(True)
    except OSError:
        return False
    if shown != ssl.PEM_cert_to_DER_cert((world.dir / "crt").read_text()):
        raise Failed(f"port {port} does not show the certificate that it was given")
    return True


# The services: a web server that answers from memory and from a file, and a server for WebSockets.
def start_services(world):
    (world.dir / "file").mkdir()
    with (world.dir / "file" / "64m").open("wb") as file:
        file.write(b"\7" * FILE)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", world.dir / "key", "-out", world.dir / "crt"], check=True, capture_output=True)
    world.web, world.sockets = free_port(), free_port()
    nginx(world, "service", f"""
        sendfile on; tcp_nopush on; open_file_cache max=10;
        server {{
            listen 127.0.0.1:{world.web} backlog=4096;
            location = /1k {{ default_type text/plain; return 200 "{'x' * 1024}"; }}
            location / {{ root {world.dir}/file; }}
        }}""", world.web)
    server = world.start("server", [world.load, "server", f"127.0.0.1:{world.sockets}"])
    wait_for(world.sockets, server, world.dir / "server.log")


def nginx(world, name, servers, port):
    folder = world.dir / name
    folder.mkdir(exist_ok=True)
    temporary = "".join(f"{of}_temp_path {folder}/{of};" for of in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; worker_processes auto; worker_rlimit_nofile 20000;
        events {{ worker_connections 20000; }}
        http {{ access_log off; {temporary} keepalive_requests 1000000000; keepalive_timeout 300s; {servers} }}""")
    log = world.dir / f"{name}.log"
    process = world.start(name, ["nginx", "-e", log, "-c", folder / "nginx.conf"])
    wait_for(port, process, log)
    return process


# nginx with the usual configuration in front of a service: forwarded headers, keep-alive connections, WebSockets. `/`
# has the default buffers; large answers and streams get larger buffers than any usual configuration sets.
def start_nginx(world):
    http, tls = free_port(), free_port()
    forwarded = """proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;"""
    upgrade = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_read_timeout 1h;'
    process = nginx(world, "nginx", f"""
        upstream web {{ server 127.0.0.1:{world.web}; keepalive 64; keepalive_requests 1000000000; }}
        server {{
            listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{tls} ssl backlog=4096;
            ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {world.dir}/crt; ssl_certificate_key {world.dir}/key;
            location / {{ {forwarded} proxy_set_header Connection ""; proxy_pass http://web; }}
            location /64m {{
                {forwarded} proxy_set_header Connection ""; proxy_pass http://web;
                proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_max_temp_file_size 0;
            }}
            location /idle {{ {forwarded} {upgrade} proxy_pass http://127.0.0.1:{world.sockets}; }}
            location ~ ^/(echo|source|frames) {{
                {forwarded} {upgrade} proxy_buffer_size 64k; proxy_buffers 8 64k;
                proxy_pass http://127.0.0.1:{world.sockets};
            }}
        }}""", http)
    return Peer(world, "nginx", process, http, http, tls, tls)


def start_caddy(world):
    http, ws, tls, tls_ws = (free_port() for _ in range(4))
    pair = f"tls {world.dir}/crt {world.dir}/key"
    sites = [(f"http://127.0.0.1:{http}", world.web, ""), (f"http://127.0.0.1:{ws}", world.sockets, ""),
             (f"https://127.0.0.1:{tls}", world.web, pair), (f"https://127.0.0.1:{tls_ws}", world.sockets, pair)]
    (world.dir / "Caddyfile").write_text("{\n admin off\n auto_https off\n}\n" + "".join(
        f"{address} {{\n bind 127.0.0.1\n {certificate}\n reverse_proxy 127.0.0.1:{to}\n}}\n"
        for address, to, certificate in sites))
    process = world.start("caddy", ["caddy", "run", "--adapter", "caddyfile", "--config", world.dir / "Caddyfile"])
    for port in (http, ws):
        wait_for(port, process, world.dir / "caddy.log")
    return Peer(world, "Caddy", process, http, ws, tls, tls_ws)


def start_desktopd(world):
    folder = Path(tempfile.mkdtemp(prefix="desktopd.", dir=world.dir))
    (folder / "services").mkdir()
    places = "".join(f'{place} = "{folder}/{place}"\n' for place in ("run", "state", "log"))
    (folder / "desktopd.toml").write_text(f"[paths]\n{places}")
    portal, http, ws = (free_port() for _ in range(3))
    for name, listen, to in (("web", http, world.web), ("sockets", ws, world.sockets)):
        (folder / "services" / f"{name}.toml").write_text(
            'command = ["sleep", "infinity"]\nuser = "own"\n'
            f'[route]\nlisten = "{listen}"\nupstream = "127.0.0.1:{to}"\n')
    process = world.start("desktopd", [world.binary, "--config", folder, "init"], {
        "SERVICEPORTAL_PORT_HOST": str(portal), "WEB_USER": "user", "WEB_PASSWORD": world.password,
        "WEB_TLS_CERT_FILE": f"{world.dir}/crt", "WEB_TLS_KEY_FILE": f"{world.dir}/key"})
    for port in (portal, http, ws):
        wait_for(port, process, world.dir / "desktopd.log")
    tls = speaks_tls(world, http)
    peer = Peer(world, "desktopd", process, http, ws, http if tls else None, ws if tls else None)
    peer.folder = folder
    peer.headers = [cookie("http", HTTPConnection("127.0.0.1", http), world.password)]
    if tls:
        context = ssl._create_unverified_context()
        peer.tls_headers = [cookie("https", HTTPSConnection("127.0.0.1", http, context=context), world.password)]
    return peer


def cookie(scheme, connection, password):
    """Logs in as a browser does."""
    headers = {"Origin": f"{scheme}://127.0.0.1:{connection.port}", "Content-Type": "application/x-www-form-urlencoded"}
    form = urlencode({"user": "user", "password": password, "next": "/"})
    connection.request("POST", "/desktopd/login", form, headers)
    answer = connection.getresponse()
    given = answer.getheader("Set-Cookie")
    connection.close()
    if answer.status != 303 or not given:
        raise Failed(f"the login was answered with {answer.status}")
    return "Cookie: " + given.split(";")[0]
