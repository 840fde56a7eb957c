//! Every environment variable that this program reads, in one table, and its only reader.
//!
//! A clean-up before parsing lets clouds that cannot pass quotes or spaces take part: one pair of enclosing quotes is
//! removed and `___` stands for a space, but never in secrets and URLs. An empty value counts as unset. A bad value is
//! reported and its default taken: it never stops the boot.

mod value;
mod web;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::problem::{Problem, nearest};
use super::secret::Secret;
use value::FromVariable;
pub use value::{
    CookieName, DisplayChoice, DisplayName, HostPort, Networks, PASSWORD_LIMIT, Password, PasswordHash, Port,
    Ports, RelayPort, Workspace,
};
pub use web::{LocalhostPorts, Origins, Tokens};

/// Where a problem with a variable is said to be.
const PLACE: &str = "environment";

/// One row of the table, for documentation and for the tests that hold it.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The name, and after it the aliases that are read when it is unset.
    pub names: &'static [&'static str],
    /// What it is when unset; empty for "nothing".
    pub default: &'static str,
    /// One line for people.
    pub doc: &'static str,
    /// Whether its value is never shown and withheld from units that do not ask for it by name.
    pub secret: bool,
    /// What a text stands for, if it is one that it can have.
    value: fn(String, &Raw) -> Option<String>,
}

/// Everything that was set, by name.
type Raw = BTreeMap<OsString, OsString>;

macro_rules! variables {
    ($($field:ident: $type:ty = $default:literal, [$($name:literal),+], $doc:literal;)+) => {
        /// The value of every variable in the table.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(clippy::doc_markdown, reason = "the same words stand in tables and in `desktopd env`")]
        pub struct Variables {
            $(#[doc = $doc] pub $field: $type,)+
        }

        /// All variables, in the order of the documentation.
        pub const TABLE: &[Variable] = &[
            $(Variable {
                names: &[$($name),+],
                default: $default,
                doc: $doc,
                secret: <$type as FromVariable>::SECRET,
                value: |text, raw| {
                    let text = <$type as FromVariable>::resolve(text, raw).ok()?;
                    <$type as FromVariable>::parse(&text).is_ok().then_some(text)
                },
            },)+
        ];

        impl Variables {
            fn read(raw: &Raw, problems: &mut Vec<Problem>) -> Self {
                Self { $($field: read(raw, &[$($name),+], $default, problems),)+ }
            }
        }
    };
}

variables! {
    web_enable_auth: bool = "true", ["WEB_ENABLE_AUTH", "ENABLE_AUTH"], "authentication of all web services";
    web_user: String = "user", ["WEB_USER", "WEB_USERNAME"], "user name for the web services";
    web_password: Option<Password> = "", ["WEB_PASSWORD"], "password for the web services, at most 72 bytes; made at random when unset";
    web_password_hash: Option<PasswordHash> = "", ["WEB_PASSWORD_HASH"], "bcrypt hash of the password, instead of the password itself";
    web_token: Option<Secret> = "", ["WEB_TOKEN"], "token for Authorization: Bearer and ?token=; made at random when unset";
    web_tls_cert_file: Option<String> = "", ["WEB_TLS_CERT_FILE"], "certificate for https, PEM with the issuers' after it; self-signed when unset";
    web_tls_key_file: Option<String> = "", ["WEB_TLS_KEY_FILE"], "its private key, PEM; looked for in the certificate's file when unset";
    open_button_token: Option<Secret> = "", ["OPEN_BUTTON_TOKEN"], "vast.ai's: the token of its Open button; there also the password when none was chosen";
    caddy_auth_cookie_name: Option<CookieName> = "", ["CADDY_AUTH_COOKIE_NAME"], "name of the session's cookie; on vast.ai that of the instance with `_auth_token`";
    web_enable_https: bool = "false", ["WEB_ENABLE_HTTPS", "ENABLE_HTTPS"], "plain http is redirected to https, and links begin with it";
    web_trusted_proxies: Networks = "", ["WEB_TRUSTED_PROXIES"], "addresses and networks of proxies that say who asks, separated by commas";
    web_allowed_origins: Origins = "", ["WEB_ALLOWED_ORIGINS", "CADDY_CORS_ALLOWED_ORIGINS"], "origins of web pages that may read, change and open tunnels here, separated by commas; * for any that shows a token";
    web_cors_methods: Tokens = "GET, POST, PUT, PATCH, DELETE, OPTIONS", ["WEB_CORS_METHODS", "CADDY_CORS_ALLOWED_METHODS"], "methods that such pages may use";
    web_cors_headers: Tokens = "Authorization, Content-Type", ["WEB_CORS_HEADERS", "CADDY_CORS_ALLOWED_HEADERS"], "headers that such pages may send";
    web_enable_compression: bool = "true", ["WEB_ENABLE_COMPRESSION", "CADDY_ENABLE_COMPRESSION"], "compression of texts where a service has not compressed them";
    web_access_log: bool = "false", ["WEB_ACCESS_LOG"], "a line for each request, in the log called gateway";
    header_up_localhost: LocalhostPorts = "", ["CADDY_HEADER_UP_LOCALHOST"], "own ports of services that are asked for as localhost, or true for all";
    serviceportal_port_host: HostPort = "1111", ["SERVICEPORTAL_PORT_HOST"], "port of the service portal";
    serviceportal_port_local: Port = "11111", ["SERVICEPORTAL_PORT_LOCAL"], "inner port of the service portal, on loopback: for `ssh -L`";
    auth_exclude: Ports = "", ["AUTH_EXCLUDE"], "ports that need no login, separated by commas";
    serviceportal_url: Option<String> = "", ["SERVICEPORTAL_URL"], "preset link to the service portal";
    selkies_port_host: HostPort = "6100", ["SELKIES_PORT_HOST"], "port of the desktop";
    selkies_port_local: Port = "16100", ["SELKIES_PORT_LOCAL"], "inner port of Selkies, on loopback";
    selkies_url: Option<String> = "", ["SELKIES_URL"], "preset link to the desktop";
    vnc_port_host: HostPort = "6200", ["VNC_PORT_HOST"], "port of the desktop by VNC";
    vnc_port_local: Port = "16200", ["VNC_PORT_LOCAL"], "inner port of KasmVNC, on loopback, where that is installed";
    vnc_url: Option<String> = "", ["VNC_URL"], "preset link to the desktop by VNC";
    ssh_port_host: u32 = "2222", ["SSH_PORT_HOST"], "the host's side of the SSH port, for links; nothing listens on it";
    serviceportal_metrics_port: Option<String> = "", ["SERVICEPORTAL_METRICS_PORT"], "read and not used: metrics are the portal's /desktopd/metrics";
    selkies_metrics_port: Option<String> = "", ["SELKIES_METRICS_PORT"], "the same";
    vnc_metrics_port: Option<String> = "", ["VNC_METRICS_PORT"], "the same";
    syncthing_ui_port_host: HostPort = "8384", ["SYNCTHING_UI_PORT_HOST"], "port of Syncthing's pages, where that is installed";
    syncthing_ui_port_local: Port = "18384", ["SYNCTHING_UI_PORT_LOCAL"], "inner port of Syncthing's pages, on loopback";
    syncthing_transport_port_host: HostPort = "22999", ["SYNCTHING_TRANSPORT_PORT_HOST"], "port on which Syncthing exchanges files";
    syncthing_url: Option<String> = "", ["SYNCTHING_URL"], "preset link to Syncthing";
    cf_tunnel_token: Option<Secret> = "", ["CF_TUNNEL_TOKEN"], "token of a named Cloudflare tunnel";
    cf_quick_tunnels: bool = "false", ["CF_QUICK_TUNNELS"], "a throw-away Cloudflare tunnel for each web service";
    tunnel_transport_protocol: String = "http2", ["TUNNEL_TRANSPORT_PROTOCOL"], "how cloudflared talks to Cloudflare: http2, quic or auto";
    vnc_display: DisplayName = ":1", ["VNC_DISPLAY"], "KasmVNC's own X display, where that is installed";
    direct_address: String = "localhost", ["DIRECT_ADDRESS"], "name or address under which people reach this machine";
    direct_address_get_wan: bool = "false", ["DIRECT_ADDRESS_GET_WAN"], "whether the public address is looked up and stands in links instead";
    external_ip_url: String = "https://api.ipify.org", ["EXTERNAL_IP_URL"], "where: an address that answers with the asker's own";
    external_ip_cache_secs: u32 = "900", ["EXTERNAL_IP_CACHE_SECS"], "how long the answer is good for, in seconds";
    portal_config: String = "", ["PORTAL_CONFIG"], "further ports and links of the portal: hostname:external port:internal port:path:name, separated by |";
    vast_containerlabel: Option<String> = "", ["VAST_CONTAINERLABEL"], "vast.ai's name of the instance: with it, vast.ai's defaults are taken";
    public_ipaddr: Option<String> = "", ["PUBLIC_IPADDR"], "vast.ai's: the public address; `VAST_TCP_PORT_n` says which port is which there";
    container_id: Option<String> = "", ["CONTAINER_ID"], "vast.ai's: the instance; what was made for another one is made anew";
    container_api_key: Option<Secret> = "", ["CONTAINER_API_KEY"], "vast.ai's: the instance's key to its API";
    runpod_pod_id: Option<String> = "", ["RUNPOD_POD_ID"], "RunPod's: the pod, whose proxy links lead to";
    runpod_public_ip: Option<String> = "", ["RUNPOD_PUBLIC_IP"], "RunPod's: the public address; `RUNPOD_TCP_PORT_n` says which port is which there";
    desktopd_display: DisplayChoice = "auto", ["DESKTOPD_DISPLAY"], "auto, xorg, virtualgl or llvmpipe";
    vgl_display: String = "egl", ["VGL_DISPLAY"], "the device that VirtualGL draws on";
    disable_vgl: bool = "false", ["DISABLE_VGL"], "whether VirtualGL is left out";
    gpu_count: Option<u32> = "", ["GPU_COUNT"], "how many of the GPUs are used and shown; all when unset";
    accept_nvidia_license: bool = "true", ["ACCEPT_NVIDIA_LICENSE"], "whether NVIDIA's driver libraries may be downloaded";
    disable_forward_compat: bool = "false", ["DISABLE_FORWARD_COMPAT"], "whether CUDA's libraries for newer drivers are left out";
    display: DisplayName = ":0", ["DISPLAY"], "the desktop's X display";
    display_sizew: u32 = "1920", ["DISPLAY_SIZEW", "SIZEW"], "width of the desktop in pixels";
    display_sizeh: u32 = "1080", ["DISPLAY_SIZEH", "SIZEH"], "height of the desktop in pixels";
    display_refresh: u32 = "60", ["DISPLAY_REFRESH", "REFRESH"], "highest frame rate of the stream";
    display_dpi: u32 = "96", ["DISPLAY_DPI", "DPI"], "dots per inch";
    display_cdepth: u32 = "24", ["DISPLAY_CDEPTH", "CDEPTH"], "colour depth in bits";
    webrtc_encoder: Option<String> = "", ["WEBRTC_ENCODER", "SELKIES_ENCODER"], "video encoder; the best that works when unset";
    webrtc_enable_resize: bool = "false", ["WEBRTC_ENABLE_RESIZE", "SELKIES_ENABLE_RESIZE"], "whether the desktop takes the size of the browser's window";
    turn_host: Option<String> = "", ["TURN_HOST", "SELKIES_TURN_HOST", "WEBRTC_TURN_HOST"], "external TURN server";
    turn_port: Port = "3478", ["TURN_PORT", "SELKIES_TURN_PORT", "WEBRTC_TURN_PORT"], "its port";
    turn_username: Option<String> = "", ["TURN_USERNAME", "SELKIES_TURN_USERNAME", "WEBRTC_TURN_USERNAME"], "its user name";
    turn_password: Option<Secret> = "", ["TURN_PASSWORD", "SELKIES_TURN_PASSWORD", "WEBRTC_TURN_PASSWORD"], "its password";
    turn_protocol: String = "udp", ["TURN_PROTOCOL", "SELKIES_TURN_PROTOCOL", "WEBRTC_TURN_PROTOCOL"], "udp or tcp";
    turn_server: Option<String> = "", ["TURN_SERVER"], "vast.ai's: an external TURN server is there, and ours stays off";
    pipewire_latency: String = "128/48000", ["PIPEWIRE_LATENCY"], "sound latency of PipeWire";
    pulse_latency_msec: u32 = "60", ["PULSE_LATENCY_MSEC"], "sound latency of PulseAudio programs";
    enable_coturn: bool = "false", ["ENABLE_COTURN"], "a TURN server in the container, for WebRTC where nothing else gets through";
    coturn_user: String = "user", ["COTURN_USER"], "user name for it";
    coturn_password: Option<Secret> = "", ["COTURN_PASSWORD"], "password for it; made at random when unset";
    coturn_port_host: RelayPort = "3478", ["COTURN_PORT_HOST"], "port of it, TCP and UDP";
    coturn_listen_address: Option<String> = "", ["COTURN_LISTEN_ADDRESS"], "public address that it announces, where that is not the container's own";
    ssh_port_local: Port = "22", ["SSH_PORT_LOCAL", "SSH_PORT"], "port of the SSH server";
    ssh_pubkey: Option<String> = "", ["SSH_PUBKEY"], "SSH keys that may log in, one a line";
    public_key: Option<String> = "", ["PUBLIC_KEY"], "more of them: RunPod's";
    ssh_public_key: Option<String> = "", ["SSH_PUBLIC_KEY"], "more of them: vast.ai's";
    vnc_password: Option<Secret> = "", ["VNC_PASSWORD"], "password for VNC programs on port 5900, which stays closed without one";
    user_name: String = "user", ["USER_NAME"], "the desktop's user";
    user_password: Option<Secret> = "", ["USER_PASSWORD"], "that user's password, for sudo and the screen; locked when unset, and never good for SSH";
    user_groups: String = "", ["USER_GROUPS"], "groups that the user is in besides, separated by commas";
    workspace: Workspace = "/workspace/", ["WORKSPACE"], "where people keep their work";
    workspace_mounted: Option<String> = "", ["WORKSPACE_MOUNTED"], "force: the workspace counts as mounted";
    workspace_uid: Option<u32> = "", ["WORKSPACE_UID"], "the user's id; the owner of a mounted workspace when unset, 1000 where that is root";
    workspace_gid: Option<u32> = "", ["WORKSPACE_GID"], "the user's group, likewise";
    workspace_sync: bool = "true", ["WORKSPACE_SYNC"], "whether Python environments move to a mounted workspace";
    opt_sync: String = "", ["OPT_SYNC"], "folders of /opt that move to a mounted workspace, separated by colons";
    skip_acl: bool = "false", ["SKIP_ACL"], "whether the workspace gets no access list that lets its owner write what root makes there";
    data_directory: Option<String> = "", ["DATA_DIRECTORY"], "vast.ai's: another name for the workspace";
    hf_home: Option<String> = "", ["HF_HOME"], "where Hugging Face's programs keep what they download; .hf_home in the workspace on vast.ai";
    provisioning_script: Option<String> = "", ["PROVISIONING_SCRIPT"], "URL of a script that sets this machine up";
    provisioning_manifest: Option<String> = "", ["PROVISIONING_MANIFEST"], "vast.ai's: URL or file of a manifest; not understood yet, and said so";
    provisioning_user: Option<String> = "", ["PROVISIONING_USER"], "who runs it: the desktop's user, root on vast.ai";
    hotfix_script: Option<String> = "", ["HOTFIX_SCRIPT"], "URL of a script that runs as root before anything else";
    boot_script: Option<String> = "", ["BOOT_SCRIPT"], "URL of a script that runs in place of the boot steps";
    serverless: bool = "false", ["SERVERLESS"], "no desktop and no web services: provisioning and what is asked for alone";
    portal_unstoppable: String = "", ["PORTAL_UNSTOPPABLE"], "services that the portal does not stop, separated by commas";
    disable_pty: bool = "false", ["DISABLE_PTY"], "vast.ai's: services write to pipes, as they do here anyway";
    caddy_flush_interval: Option<String> = "", ["CADDY_FLUSH_INTERVAL"], "read and not used: answers are passed on as they come";
    tz: String = "UTC", ["TZ"], "time zone";
    lang: String = "en_US.UTF-8", ["LANG"], "language and character set";
    supervisor_no_autostart: String = "", ["SUPERVISOR_NO_AUTOSTART"], "services that are not started, separated by commas";
    desktopd_config: Option<String> = "", ["DESKTOPD_CONFIG"], "folder with desktopd.toml and services/; /etc/desktopd when unset";
    debug: bool = "false", ["DEBUG"], "more log";
}

/// The environment as it came, cleaned up and parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The variables of the table.
    pub vars: Variables,
    /// Everything, as it came: what units, shells and scripts get passed on.
    pub raw: Raw,
}

impl Environment {
    /// This process's environment, with the `NAME=value` arguments of `init` laid over it.
    pub fn of_process(arguments: &[OsString], problems: &mut Vec<Problem>) -> Self {
        Self::new(std::env::vars_os(), arguments, problems)
    }

    /// Any environment.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        arguments: &[OsString],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut raw: Raw = variables.into_iter().collect();
        for argument in arguments {
            match split(argument) {
                Some((name, value)) => {
                    raw.insert(name.to_owned(), value.to_owned());
                }
                None => problems.push(Problem::new(
                    "arguments of init",
                    argument.to_string_lossy(),
                    "it is neither NAME=value nor an option; it is ignored",
                )),
            }
        }
        let vars = Variables::read(&raw, problems);
        Self { vars, raw }
    }

    /// The text of one variable, by any name. For the few that are not ours, such as `PATH`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw.get(OsStr::new(name))?.to_str().filter(|text| !text.is_empty())
    }

    /// What a variable of the table is set to, as a text for templates: its cleaned value, or its default.
    pub fn shown(&self, variable: &Variable) -> String {
        self.given(variable).unwrap_or_else(|| variable.default.to_owned())
    }

    /// Whether a variable of the table is set, under any of its names, to something that it can be.
    pub fn is_given(&self, name: &str) -> bool {
        let variable = TABLE.iter().find(|variable| variable.names.contains(&name));
        variable.is_some_and(|variable| self.given(variable).is_some())
    }

    fn given(&self, variable: &Variable) -> Option<String> {
        let set = variable.names.iter().filter_map(|name| self.text(name)).map(|text| clean(text, false));
        set.filter(|text| !text.is_empty()).find_map(|text| (variable.value)(text, &self.raw))
    }

    /// Whether a variable, ours or any other, is set and not to `false`.
    pub fn is_on(&self, name: &str) -> bool {
        let ours = TABLE.iter().find(|variable| variable.names.contains(&name));
        let text = ours.map_or_else(|| self.text(name).unwrap_or_default().to_owned(), |v| self.shown(v));
        !text.is_empty() && bool::parse(&text) != Ok(false)
    }

    /// Gives one of our secrets the value that was made for it, as if somebody had set it.
    pub fn make(&mut self, name: &str, value: &Secret) {
        self.raw.insert(name.into(), value.reveal().into());
        self.vars = Variables::read(&self.raw, &mut Vec::new());
    }

    /// The values that must not be shown.
    pub fn secrets(&self) -> Vec<String> {
        let value = |(name, value): (&OsString, &OsString)| {
            looks_secret(name.to_str()?).then(|| value.to_string_lossy().into_owned())
        };
        self.raw.iter().filter_map(value).filter(|value| !is_word(value)).collect()
    }
}

/// A value that is a word of ours rather than somebody's secret would, if masked, make logs unreadable.
fn is_word(value: &str) -> bool {
    ["true", "false", "none", "user", "password"].contains(&value)
}

/// Whether a variable's value should be masked wherever variables are shown.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let parts =
        ["PASSWORD", "PASSWD", "TOKEN", "SECRET", "CREDENTIAL", "PRIVATE_KEY", "API_KEY", "ACCESS_KEY"];
    is_own_secret(&name)
        || parts.iter().any(|part| name.contains(part))
        || name.ends_with("_KEY")
        || (name.starts_with("RCLONE_") && name.ends_with("_PASS"))
}

/// Whether a variable is one of our own secrets, which reach only the units that name them.
pub fn is_own_secret(name: &str) -> bool {
    TABLE.iter().any(|variable| variable.secret && variable.names.contains(&name))
}

/// `NAME=value` with a name that a shell could export.
fn split(argument: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = argument.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&bytes[..at], &bytes[at + 1..]);
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let valid = !name.is_empty() && !name[0].is_ascii_digit() && name.iter().all(word);
    valid.then(|| (OsStr::from_bytes(name), OsStr::from_bytes(value)))
}

fn read<T: FromVariable>(raw: &Raw, names: &[&'static str], default: &str, problems: &mut Vec<Problem>) -> T {
    for name in names {
        let Some(value) = raw.get(OsStr::new(name)) else { continue };
        let is_not = |text: &str, allowed: &str| {
            let shown = if T::SECRET { "the value".to_owned() } else { format!("\"{text}\"") };
            format!("{shown} is not {allowed}")
        };
        let parsed = match value.to_str().map(|text| clean(text, T::LITERAL)) {
            Some(text) if text.is_empty() => continue,
            Some(text) => T::resolve(text, raw)
                .and_then(|text| T::parse(&text).map_err(|allowed| is_not(&text, allowed))),
            None => Err(is_not(&value.to_string_lossy(), "text in UTF-8")),
        };
        match parsed {
            Ok(value) => return value,
            Err(why) => {
                let instead = if default.is_empty() {
                    "it counts as unset".to_owned()
                } else {
                    format!("{default} is used")
                };
                problems.push(Problem::new(PLACE, *name, format!("{why}; {instead}")));
                break;
            }
        }
    }
    match T::parse(default) {
        Ok(value) => value,
        // The test of the table parses every default.
        Err(allowed) => unreachable!("the default of {names:?} is not {allowed}"),
    }
}

fn clean(text: &str, literal: bool) -> String {
    if literal || text.contains("://") {
        return text.to_owned();
    }
    let unquoted =
        ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text);
    unquoted.replace("___", " ")
}

/// The names that look like `name` among all variables, for messages about templates.
pub fn nearest_variable(name: &str) -> Option<&'static str> {
    nearest(name, TABLE.iter().flat_map(|variable| variable.names.iter().copied()))
}

/// The folder with our configuration: asked for by option, by variable, or the usual one.
pub fn config_dir(option: Option<PathBuf>, environment: &Environment) -> PathBuf {
    option
        .or_else(|| environment.vars.desktopd_config.as_ref().map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/etc/desktopd"))
}

/// The folder that this process was started in, unless that says nothing: the root, where containers start.
pub fn working_folder() -> Option<PathBuf> {
    std::env::current_dir().ok().filter(|folder| folder.parent().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)], arguments: &[&str]) -> (Environment, Vec<Problem>) {
        let mut problems = Vec::new();
        let pairs = pairs.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        (Environment::new(pairs, &arguments, &mut problems), problems)
    }

    #[test]
    fn every_default_parses_and_no_name_stands_twice() {
        let (_, problems) = environment(&[], &[]);
        assert_eq!(problems, []);
        let mut names: Vec<_> = TABLE.iter().flat_map(|v| v.names).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn aliases_are_read_in_order_and_empty_is_unset() {
        let (env, _) = environment(&[("WEB_USER", ""), ("WEB_USERNAME", "ada")], &[]);
        assert_eq!(env.vars.web_user, "ada");
        let (env, _) = environment(&[("SIZEW", "800"), ("DISPLAY_SIZEW", "1024")], &[]);
        assert_eq!(env.vars.display_sizew, 1024);
    }

    #[test]
    fn quotes_and_underscores_are_for_clouds_but_not_in_secrets_and_urls() {
        let (env, _) = environment(
            &[("WEB_USER", "\"ada___l\""), ("WEB_TOKEN", "\"a___b\""), ("SELKIES_URL", "https://a/___")],
            &[],
        );
        assert_eq!(env.vars.web_user, "ada l");
        assert_eq!(env.vars.web_token.unwrap().reveal(), "\"a___b\"");
        assert_eq!(env.vars.selkies_url.as_deref(), Some("https://a/___"));
    }

    #[test]
    fn all_mistakes_are_told_at_once_without_showing_secrets() {
        let long = "x".repeat(73);
        let (env, problems) = environment(
            &[("SELKIES_PORT_HOST", "70000x"), ("WEB_PASSWORD", &long), ("DESKTOPD_DISPLAY", "wayland")],
            &["NAME", "1X=2"],
        );
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 5, "{told:#?}");
        assert!(told.iter().any(|t| t.contains("SELKIES_PORT_HOST: \"70000x\" is not a port")), "{told:#?}");
        assert!(
            told.iter().any(|t| t.contains("WEB_PASSWORD: the value is not a password of at most 72 bytes"))
        );
        assert!(!told.concat().contains(&long));
        assert_eq!(env.vars.selkies_port_host, HostPort(6100));
        assert_eq!(env.vars.web_password, None);
    }

    #[test]
    fn arguments_of_init_lie_over_the_environment() {
        let (env, problems) = environment(&[("WEB_USER", "a")], &["WEB_USER=b", "EXTRA=x=y"]);
        assert_eq!(problems, []);
        assert_eq!(env.vars.web_user, "b");
        assert_eq!(env.text("EXTRA"), Some("x=y"));
    }

    #[test]
    fn seventy_two_bytes_are_a_password() {
        let (env, problems) = environment(&[("WEB_PASSWORD", &"é".repeat(36))], &[]);
        assert_eq!(problems, []);
        assert!(env.vars.web_password.is_some());
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in
            ["WEB_PASSWORD", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "RCLONE_CONFIG_X_PASS", "CONTAINER_API_KEY"]
        {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["PATH", "KEYBOARD", "LANG", "SSH_PUBKEY"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
