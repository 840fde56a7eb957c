//! The table of all variables that this program reads, with aliases, type, default and a line of documentation.
//!
//! A test compares the tables of `config/README.md` and `.env.example` with this table; `desktopd env` shows it.

use std::ffi::{OsStr, OsString};

use super::value::FromVariable;
use super::value_types::{
    Accepted, Count, DisplayChoice, Latency, Mounted, Size, Switch, TerminalUser, Transport, TurnHost,
    TurnProtocol, UserName, VideoPort, WebUser, Within,
};
use super::web_types::{Host, LocalhostPorts, Origins, Tokens, WebAddress};
use super::{
    CookieName, DisplayName, Encoder, HostPort, Networks, Password, PasswordHash, Port, Ports, RelayPort,
    Workspace,
};
use crate::config::problem::Problem;
use crate::config::secret::Secret;
use crate::logs::Copied;
use crate::sys::env_file::Raw;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The name, followed by the aliases, which are read if the name is unset.
    pub names: &'static [&'static str],
    /// The value if the variable is unset; empty for "nothing".
    pub default: &'static str,
    /// The value if the variable is set to a wrong value.
    pub(super) instead: &'static str,
    /// One line for people.
    pub doc: &'static str,
    /// Whether the value is never shown, and given only to units that list the variable under `secrets`.
    pub secret: bool,
    /// What else is special about it.
    flags: &'static [Flag],
    /// The resolved value of a text; `None` if the text is not valid.
    pub(super) value: fn(String, &Raw) -> Option<String>,
}

/// What is special about a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// A start-up variable: it is fixed when the gateway opens its ports.
    Startup,
    /// The value stays as it was given, though its name does not look secret.
    Literal,
    /// It decides what root runs, which user becomes root, or where the workspace's file is, so it is not taken from
    /// that file: any program of the user can write there, in this container and in others with the same volume.
    NotInWorkspace,
    /// The same where root provisions the machine.
    NotInWorkspaceOfRoot,
}

impl Variable {
    /// Whether this is special about it.
    pub fn is(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// The text that it is set to, under the first of its names that is set.
    pub(super) fn set<'a>(&self, raw: &'a Raw) -> Option<&'a OsString> {
        self.names.iter().find_map(|name| given(raw, name))
    }

    /// The value that it is set to, normalized, if that is valid.
    pub(super) fn given(&self, raw: &Raw) -> Option<String> {
        let text = self.set(raw)?.to_str()?.to_owned();
        (self.value)(text, raw).filter(|text| !text.is_empty())
    }

    /// The value as a text for templates: the normalized value, or what counts without a valid one.
    pub fn shown(&self, raw: &Raw) -> String {
        let otherwise = if self.set(raw).is_some() { self.instead } else { self.default };
        self.given(raw).unwrap_or_else(|| otherwise.to_owned())
    }
}

macro_rules! variables {
    ($($field:ident: $type:ty = $default:literal, [$($name:literal),+] $($flag:ident)*, $doc:literal;)+) => {
        /// The value of every variable in the table.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(clippy::doc_markdown, reason = "tables and `desktopd env` show the same words")]
        pub struct Variables {
            $(#[doc = $doc] pub $field: $type,)+
        }

        /// All variables, in the order of the documentation.
        pub const TABLE: &[Variable] = &[
            $(Variable {
                names: &[$($name),+],
                default: $default,
                instead: match <$type as FromVariable>::INSTEAD {
                    Some(instead) => instead,
                    None => $default,
                },
                doc: $doc,
                secret: <$type as FromVariable>::SECRET,
                flags: &[$(Flag::$flag),*],
                value: |text, raw| {
                    let text = <$type as FromVariable>::resolve(text, raw).ok()?;
                    <$type as FromVariable>::parse(&text).is_ok().then_some(text)
                },
            },)+
        ];

        impl Variables {
            /// Reads all of them. `place` says where a name was set.
            pub(super) fn read(
                raw: &Raw,
                place: &dyn Fn(&str) -> String,
                problems: &mut Vec<Problem>,
            ) -> Self {
                Self { $($field: read(raw, &[$($name),+], $default, place, problems),)+ }
            }
        }
    };
}

variables! {
    web_enable_auth: bool = "true", ["WEB_ENABLE_AUTH", "ENABLE_AUTH"] Startup, "authentication of all web services";
    web_user: WebUser = "user", ["WEB_USER", "WEB_USERNAME"] Startup, "user name for the web services; vastai on vast.ai";
    web_password: Option<Password> = "", ["WEB_PASSWORD"] Startup, "password for the web services, at most 72 bytes; made at random when unset";
    web_password_hash: Option<PasswordHash> = "", ["WEB_PASSWORD_HASH"] Startup, "bcrypt hash of the password, instead of the password itself";
    web_token: Option<Secret> = "", ["WEB_TOKEN"] Startup, "token for Authorization: Bearer and ?token=; made at random when unset";
    open_button_token: Option<Secret> = "", ["OPEN_BUTTON_TOKEN"] Startup, "vast.ai's: the token of its Open button, accepted like WEB_TOKEN; on vast.ai also the password when none is set";
    auth_exclude: Ports = "", ["AUTH_EXCLUDE"] Startup, "ports that need no login, separated by commas";
    web_tls_cert_file: Option<String> = "", ["WEB_TLS_CERT_FILE"] Startup, "certificate for https, PEM with the issuers' after it; self-signed when unset";
    web_tls_key_file: Option<String> = "", ["WEB_TLS_KEY_FILE"] Startup, "its private key, PEM; looked for in the certificate's file when unset";
    caddy_auth_cookie_name: Option<CookieName> = "", ["CADDY_AUTH_COOKIE_NAME"] Startup, "name of the session's cookie; on vast.ai that of the instance with `_auth_token`";
    web_enable_https: bool = "false", ["WEB_ENABLE_HTTPS", "ENABLE_HTTPS"] Startup, "plain http is redirected to https, and links begin with it";
    web_trusted_proxies: Networks = "", ["WEB_TRUSTED_PROXIES"] Startup, "addresses and networks of proxies whose X-Forwarded-For is believed, separated by commas";
    web_allowed_origins: Origins = "", ["WEB_ALLOWED_ORIGINS", "CADDY_CORS_ALLOWED_ORIGINS"] Startup, "origins of web pages that may read, change and open WebSockets here, separated by commas; * for any page that sends a token";
    web_cors_methods: Tokens = "GET, POST, PUT, PATCH, DELETE, OPTIONS", ["WEB_CORS_METHODS", "CADDY_CORS_ALLOWED_METHODS"] Startup, "methods that such pages may use";
    web_cors_headers: Tokens = "Authorization, Content-Type", ["WEB_CORS_HEADERS", "CADDY_CORS_ALLOWED_HEADERS"] Startup, "headers that such pages may send";
    web_enable_compression: bool = "true", ["WEB_ENABLE_COMPRESSION", "CADDY_ENABLE_COMPRESSION"] Startup, "compression of texts where a service has not compressed them";
    web_access_log: bool = "false", ["WEB_ACCESS_LOG"] Startup, "a line for each request, without its query, in the log called gateway";
    header_up_localhost: LocalhostPorts = "", ["CADDY_HEADER_UP_LOCALHOST"], "own ports of services whose requests get localhost as Host, separated by commas, or true for all";
    caddy_flush_interval: Option<String> = "", ["CADDY_FLUSH_INTERVAL"], "read and not used: answers are passed on as they come";
    serviceportal_port_host: HostPort = "1111", ["SERVICEPORTAL_PORT_HOST"] Startup, "port of the service portal";
    serviceportal_port_local: Port = "11111", ["SERVICEPORTAL_PORT_LOCAL"] Startup, "inner port of the service portal, on loopback: for `ssh -L`";
    serviceportal_url: Option<WebAddress> = "", ["SERVICEPORTAL_URL"] Startup, "preset link to the service portal";
    selkies_port_host: HostPort = "6100", ["SELKIES_PORT_HOST"], "port of the desktop";
    selkies_port_local: Port = "16100", ["SELKIES_PORT_LOCAL"], "inner port of Selkies, on loopback";
    selkies_url: Option<WebAddress> = "", ["SELKIES_URL"] Startup, "preset link to the desktop";
    vnc_port_host: HostPort = "6200", ["VNC_PORT_HOST"], "port of the desktop by VNC";
    vnc_port_local: Port = "16200", ["VNC_PORT_LOCAL"], "inner port of KasmVNC, on loopback, where that is installed";
    vnc_display: DisplayName = ":1", ["VNC_DISPLAY"], "KasmVNC's own X display, where that is installed";
    vnc_url: Option<WebAddress> = "", ["VNC_URL"] Startup, "preset link to the desktop by VNC";
    vnc_password: Option<Secret> = "", ["VNC_PASSWORD"], "password for VNC programs on port 5900; that port is not opened yet";
    ssh_port_host: u32 = "2222", ["SSH_PORT_HOST"], "the host's side of the SSH port, which docker-compose.yaml publishes; nothing listens on it";
    serviceportal_metrics_port: Option<String> = "", ["SERVICEPORTAL_METRICS_PORT"], "read and not used: there is one set of metrics, the daemon's";
    selkies_metrics_port: Option<String> = "", ["SELKIES_METRICS_PORT"], "read and not used: there is one set of metrics, the daemon's";
    vnc_metrics_port: Option<String> = "", ["VNC_METRICS_PORT"], "read and not used: there is one set of metrics, the daemon's";
    syncthing_ui_port_host: HostPort = "8384", ["SYNCTHING_UI_PORT_HOST"], "port of Syncthing's pages; it is not part of this image yet";
    syncthing_ui_port_local: Port = "18384", ["SYNCTHING_UI_PORT_LOCAL"], "inner port of Syncthing's pages, on loopback; not yet";
    syncthing_transport_port_host: HostPort = "22999", ["SYNCTHING_TRANSPORT_PORT_HOST"], "port on which Syncthing exchanges files; not yet";
    syncthing_url: Option<String> = "", ["SYNCTHING_URL"], "preset link to Syncthing; not yet";
    cf_tunnel_token: Option<Secret> = "", ["CF_TUNNEL_TOKEN"] Startup, "token of a named Cloudflare tunnel; no tunnel is opened yet, but `cf-connecting-ip` from loopback is believed";
    cf_quick_tunnels: bool = "false", ["CF_QUICK_TUNNELS"] Startup, "a throw-away Cloudflare tunnel for each web service; none is opened yet, but `cf-connecting-ip` from loopback is believed";
    tunnel_transport_protocol: Transport = "http2", ["TUNNEL_TRANSPORT_PROTOCOL"], "how cloudflared talks to Cloudflare: http2, quic or auto; no tunnel is opened yet";
    direct_address: Host = "localhost", ["DIRECT_ADDRESS"] Startup, "name or address under which people reach this machine";
    direct_address_get_wan: bool = "false", ["DIRECT_ADDRESS_GET_WAN"] Startup, "whether the public address is looked up and used in links instead";
    external_ip_url: String = "https://api.ipify.org", ["EXTERNAL_IP_URL"] Startup, "URL that answers with the address of the client, for the public address";
    external_ip_cache_secs: u32 = "900", ["EXTERNAL_IP_CACHE_SECS"] Startup, "how long the answer is good for, in seconds";
    portal_config: String = "", ["PORTAL_CONFIG"] Literal, "further ports and links of the portal, see below: hostname:external port:internal port:path:name, separated by |";
    vast_containerlabel: Option<String> = "", ["VAST_CONTAINERLABEL"] Startup, "vast.ai's name of the instance: if it is set, vast.ai's defaults apply";
    public_ipaddr: Option<String> = "", ["PUBLIC_IPADDR"] Startup, "vast.ai's: the public address; `VAST_TCP_PORT_n` is the public number of port n";
    container_id: Option<String> = "", ["CONTAINER_ID"] Startup, "vast.ai's: the instance's id; values that were made for another instance are made again";
    container_api_key: Option<Secret> = "", ["CONTAINER_API_KEY"], "vast.ai's: the instance's key to its API";
    runpod_pod_id: Option<String> = "", ["RUNPOD_POD_ID"] Startup, "RunPod's: the pod's id; links lead to its proxy";
    runpod_public_ip: Option<String> = "", ["RUNPOD_PUBLIC_IP"] Startup, "RunPod's: the public address; `RUNPOD_TCP_PORT_n` is the public number of port n";
    desktopd_display: DisplayChoice = "auto", ["DESKTOPD_DISPLAY"], "auto, xorg, virtualgl or llvmpipe: what is tried first, see below";
    vgl_display: String = "egl", ["VGL_DISPLAY"], "the GPU of the desktop by VirtualGL's names: egl for the best, eglN, /dev/dri/cardN or renderDN; or another X server with a GPU, such as :1";
    disable_vgl: bool = "false", ["DISABLE_VGL"], "whether VirtualGL is left out";
    gpu_count: Option<Count> = "", ["GPU_COUNT"], "how many of the GPUs the desktop and its programs for CUDA and ROCm may use, the best first; all when unset; 0 draws with the CPU and leaves computing alone";
    video_port: VideoPort = "DFP", ["VIDEO_PORT"], "for Xorg: the output of the NVIDIA GPU that counts as connected, such as DFP or DP-0; none for a GPU without outputs";
    accept_nvidia_license: Accepted = "true", ["ACCEPT_NVIDIA_LICENSE"] NotInWorkspace, "NVIDIA's license is accepted, and what the container lacks of the host's driver may be downloaded, see below";
    nvidia_driver_source: String = "https://international.download.nvidia.com", ["NVIDIA_DRIVER_SOURCE"] NotInWorkspace, "where NVIDIA's driver is taken from: NVIDIA's server or a mirror of it; or a folder or a volume with the .run file, or with what is in it";
    disable_forward_compat: bool = "false", ["DISABLE_FORWARD_COMPAT"], "whether CUDA's library for toolkits that are newer than the driver is left out, see below";
    display: DisplayName = ":0", ["DISPLAY"], "the desktop's X display; :20 on vast.ai";
    display_sizew: Within<16, 32767> = "1920", ["DISPLAY_SIZEW", "SIZEW"], "width of the desktop in pixels";
    display_sizeh: Within<16, 32767> = "1080", ["DISPLAY_SIZEH", "SIZEH"], "height of the desktop in pixels";
    display_max_size: Size = "3840x2160", ["DISPLAY_MAX_SIZE"], "largest size of the desktop where WEBRTC_ENABLE_RESIZE lets browsers choose it, WIDTHxHEIGHT";
    display_refresh: Within<8, 1000> = "60", ["DISPLAY_REFRESH", "REFRESH"], "highest frame rate of the stream";
    display_dpi: Within<20, 1200> = "96", ["DISPLAY_DPI", "DPI"], "dots per inch of the screen and of its texts; with WEBRTC_ENABLE_RESIZE, 96 lets the browser choose it as well";
    display_cdepth: Within<8, 32> = "24", ["DISPLAY_CDEPTH", "CDEPTH"], "colour depth in bits";
    webrtc_encoder: Option<Encoder> = "", ["WEBRTC_ENCODER", "SELKIES_ENCODER"], "video encoder, also by the names of Selkies 1.6; the best that works when unset";
    webrtc_enable_resize: bool = "false", ["WEBRTC_ENABLE_RESIZE", "SELKIES_ENABLE_RESIZE"], "whether the desktop takes the size and the scale of the browser's window";
    turn_host: Option<TurnHost> = "", ["TURN_HOST", "SELKIES_TURN_HOST", "WEBRTC_TURN_HOST"], "external TURN server; without user name and password, and with ENABLE_COTURN, the address of ours";
    turn_port: Port = "3478", ["TURN_PORT", "SELKIES_TURN_PORT", "WEBRTC_TURN_PORT"], "port of the TURN server";
    turn_username: Option<String> = "", ["TURN_USERNAME", "SELKIES_TURN_USERNAME", "WEBRTC_TURN_USERNAME"], "user name for the TURN server";
    turn_password: Option<Secret> = "", ["TURN_PASSWORD", "SELKIES_TURN_PASSWORD", "WEBRTC_TURN_PASSWORD"], "password for the TURN server";
    turn_protocol: TurnProtocol = "udp", ["TURN_PROTOCOL", "SELKIES_TURN_PROTOCOL", "WEBRTC_TURN_PROTOCOL"], "how the TURN server is reached: udp or tcp";
    turn_server: Option<String> = "", ["TURN_SERVER"], "vast.ai's: an external TURN server exists, and ours stays off";
    enable_coturn: bool = "false", ["ENABLE_COTURN"], "a TURN server in the container, for WebRTC where no direct connection is possible; it relays to the container and to nothing else; true on vast.ai where port 73478 is mapped";
    coturn_user: String = "user", ["COTURN_USER"], "user name for the TURN server of ENABLE_COTURN";
    coturn_password: Option<Secret> = "", ["COTURN_PASSWORD"], "password for the TURN server of ENABLE_COTURN; made at random when unset";
    coturn_port_host: RelayPort = "3478", ["COTURN_PORT_HOST"], "port of the TURN server of ENABLE_COTURN, TCP and UDP";
    coturn_listen_address: Option<String> = "", ["COTURN_LISTEN_ADDRESS"], "public IP address that this TURN server announces, if it is not the container's own; the provider's address, if the provider gives one";
    pipewire_latency: Latency = "128/48000", ["PIPEWIRE_LATENCY"], "sound latency of PipeWire: samples/rate";
    pulse_latency_msec: u32 = "60", ["PULSE_LATENCY_MSEC"], "sound latency of PulseAudio programs";
    ssh_port_local: Port = "22", ["SSH_PORT_LOCAL", "SSH_PORT"], "port of the SSH server";
    ssh_pubkey: Option<String> = "", ["SSH_PUBKEY"] Literal NotInWorkspace, "SSH keys that may log in, one a line";
    public_key: Option<String> = "", ["PUBLIC_KEY"] NotInWorkspace, "further keys: RunPod's";
    ssh_public_key: Option<String> = "", ["SSH_PUBLIC_KEY"] NotInWorkspace, "further keys: vast.ai's";
    user_name: UserName = "user", ["USER_NAME"] NotInWorkspace, "the desktop's user";
    user_password: Option<Secret> = "", ["USER_PASSWORD"], "the password of the desktop's user, for the screen; locked when unset, and never valid for SSH";
    user_groups: String = "", ["USER_GROUPS"], "further groups of the user, separated by commas";
    workspace: Workspace = "/workspace/", ["WORKSPACE", "DATA_DIRECTORY"] NotInWorkspace, "where people keep their work";
    workspace_mounted: Option<Mounted> = "", ["WORKSPACE_MOUNTED"], "force: the workspace counts as mounted; true and false, which older images set themselves, have no effect";
    workspace_uid: Option<u32> = "", ["WORKSPACE_UID"], "the user's id; the owner of a mounted workspace when unset, 1000 where that is root";
    workspace_gid: Option<u32> = "", ["WORKSPACE_GID"], "the user's group; that of a mounted workspace when unset";
    workspace_sync: bool = "true", ["WORKSPACE_SYNC"], "whether Python environments move to a mounted workspace";
    opt_sync: String = "", ["OPT_SYNC"] NotInWorkspace, "folders of /opt that move to a mounted workspace, separated by colons";
    skip_acl: bool = "false", ["SKIP_ACL"], "whether the workspace gets no access list that lets its owner write files that root creates there";
    hf_home: Option<String> = "", ["HF_HOME"], "where Hugging Face's programs keep what they download; .hf_home in the workspace on vast.ai";
    provisioning_script: Option<String> = "", ["PROVISIONING_SCRIPT"] NotInWorkspaceOfRoot, "URL of a script that sets this machine up";
    provisioning_manifest: Option<String> = "", ["PROVISIONING_MANIFEST"], "vast.ai's: URL or file of a manifest; not understood yet";
    provisioning_user: Option<String> = "", ["PROVISIONING_USER"] NotInWorkspace, "the user that runs it: the desktop's user, root on vast.ai";
    hotfix_script: Option<String> = "", ["HOTFIX_SCRIPT"] NotInWorkspace, "URL of a script that runs as root before anything else";
    boot_script: Option<String> = "", ["BOOT_SCRIPT"] NotInWorkspace, "URL of a script that runs in place of hooks and provisioning";
    serverless: bool = "false", ["SERVERLESS"] Startup, "no desktop and no open port: boot steps, provisioning and services whose file says serverless; with SUPERVISOR_NO_AUTOSTART that list decides on everything but the desktop";
    portal_terminal: Option<TerminalUser> = "", ["PORTAL_TERMINAL"] Startup NotInWorkspace, "user or root: the portal has a terminal with a shell of the desktop's user, or of root, after the password was given again; without a terminal when unset";
    portal_unstoppable: String = "", ["PORTAL_UNSTOPPABLE"], "services that the portal does not stop, separated by commas; not honoured yet";
    disable_pty: bool = "false", ["DISABLE_PTY"], "vast.ai's: services write to pipes, as they do here anyway";
    tz: String = "UTC", ["TZ"], "time zone";
    lang: String = "en_US.UTF-8", ["LANG"], "language and character set";
    supervisor_no_autostart: String = "", ["SUPERVISOR_NO_AUTOSTART"], "services that are not started, separated by commas, in any case; caddy, gateway or serviceportal: no port is opened";
    desktopd_config: Option<String> = "", ["DESKTOPD_CONFIG"] NotInWorkspace, "folder with desktopd.toml and services/; /etc/desktopd when unset";
    log_to_stdout: Copied = "default", ["LOG_TO_STDOUT"], "what `docker logs` shows: default (desktopd, boot scripts, your own services, and what failed), all, or none; /var/log/desktopd has everything";
    debug: Switch = "false", ["DEBUG"], "more log";
}

/// The text of a variable, unless it is empty.
pub(super) fn given<'a>(raw: &'a Raw, name: &str) -> Option<&'a OsString> {
    raw.get(OsStr::new(name)).filter(|value| !value.is_empty())
}

/// Reads one variable: the first of its names that is set counts.
pub(super) fn read<T: FromVariable>(
    raw: &Raw,
    names: &[&'static str],
    mut default: &'static str,
    place: &dyn Fn(&str) -> String,
    problems: &mut Vec<Problem>,
) -> T {
    if let Some((name, value)) = names.iter().find_map(|name| Some((name, given(raw, name)?))) {
        let is_not = |text: &str, allowed: &str| {
            let shown = if T::SECRET { "the value".to_owned() } else { format!("\"{text}\"") };
            format!("{shown} is not {allowed}")
        };
        let parsed = match value.to_str() {
            Some(text) => T::resolve(text.to_owned(), raw)
                .and_then(|text| T::parse(&text).map_err(|allowed| is_not(&text, allowed))),
            None => Err(is_not(&value.to_string_lossy(), "text in UTF-8")),
        };
        match parsed {
            Ok(value) => return value,
            Err(why) => {
                default = T::INSTEAD.unwrap_or(default);
                let instead = if default.is_empty() {
                    "it counts as unset".to_owned()
                } else {
                    format!("{default} is used")
                };
                problems.push(Problem::new(place(name), *name, format!("{why}; {instead}")));
            }
        }
    }
    match T::parse(default) {
        Ok(value) => value,
        // The test of the table parses every default.
        Err(allowed) => unreachable!("the default of {names:?} is not {allowed}"),
    }
}
