//! Keycodes for characters that the keyboard layout lacks.
//!
//! Programs that type for remote users (Selkies, a VNC server, xdotool) bind such a character to one of the few
//! keycodes that the layout leaves empty, and none of these programs releases all of its keycodes. Once no keycode is
//! empty, the characters of the next program are lost. So bindings that were not used for long are removed before that:
//! a program that needs its binding again makes a new one.

mod pool;

use std::error::Error;
use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xinput::{self, ConnectionExt as _, XIEventMask};
use x11rb::protocol::xkb::{self, ConnectionExt as _, EventType, MapPart, SelectEventsAux};
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _, PropMode, Window};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use pool::{Pool, Symbols};

/// The core keyboard, through which all input goes.
const CORE: u16 = 0x100;

/// A property of the root window with the keycodes that the layout leaves empty: after a restart this program finds
/// them bound, and reads the property.
const KNOWN: &[u8] = b"_DESKTOPD_SPARE_KEYCODES";

/// After this time without a key event, no person is typing.
const REST: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };

/// Runs until the X server ends.
pub(super) fn run(display: &str) -> Result<(), String> {
    keep(display).map_err(|error| format!("the keycodes of {display}: {error}"))
}

fn keep(display: &str) -> Result<(), Box<dyn Error>> {
    let (server, screen) = RustConnection::connect(Some(display))?;
    let root = server.setup().roots[screen].root;
    if !server.xkb_use_extension(1, 0)?.reply()?.supported {
        return Err("the server has no XKEYBOARD extension".into());
    }
    let events = EventType::MAP_NOTIFY | EventType::NEW_KEYBOARD_NOTIFY;
    let parts = MapPart::KEY_SYMS;
    server
        .xkb_select_events(CORE, EventType::default(), events, parts, parts, &SelectEventsAux::default())?
        .check()?;
    let known = server.intern_atom(false, KNOWN)?.reply()?.atom;
    let stored = server.get_property(false, root, known, AtomEnum::CARDINAL, 0, 64)?.reply()?.value;
    let keyboards = xinput::EventMask {
        deviceid: xinput::Device::ALL_MASTER.into(),
        mask: vec![XIEventMask::RAW_KEY_PRESS | XIEventMask::RAW_KEY_RELEASE],
    };
    server.xinput_xi_query_version(2, 2)?.reply()?;
    server.xinput_xi_select_events(root, &[keyboards])?.check()?;
    let mut pool = Pool::new(&symbols(&server)?, &stored);
    loop {
        store(&server, root, known, &pool)?;
        clear(&server, &pool, &pool.excess(false))?;
        let mut told = server.poll_for_event()?;
        if told.is_none() {
            let rest = (!pool.excess(true).is_empty()).then_some(REST);
            if !is_readable(&server, rest)? {
                clear(&server, &pool, &pool.excess(true))?;
                told = server.poll_for_event()?;
                if told.is_none() {
                    is_readable(&server, None)?;
                }
            }
            told = told.map_or_else(|| server.poll_for_event(), |told| Ok(Some(told)))?;
        }
        let (mut changed, mut new_layout, mut pressed) = (false, false, Vec::new());
        while let Some(event) = told {
            match event {
                Event::XinputRawKeyPress(press) => pressed.extend(u8::try_from(press.detail)),
                Event::XkbMapNotify(_) => changed = true,
                Event::XkbNewKeyboardNotify(_) => (changed, new_layout) = (true, true),
                _ => {}
            }
            told = server.poll_for_event()?;
        }
        if changed {
            pool.update(&symbols(&server)?, new_layout, &pressed);
        } else {
            pool.used(&pressed);
        }
    }
}

/// Removes bindings, except of pressed keys: such a key would stay pressed for ever. A program that is typing answers
/// each removal with new bindings, perhaps on the next of these keycodes. So the server is grabbed meanwhile, and a
/// keycode that has another binding than the pool knows is left alone.
fn clear(server: &RustConnection, pool: &Pool, keycodes: &[u8]) -> Result<(), Box<dyn Error>> {
    if keycodes.is_empty() {
        return Ok(());
    }
    // If this service ends before it releases the server, the server releases itself.
    server.grab_server()?;
    let now = symbols(server)?;
    let down = server.query_keymap()?.reply()?.keys;
    for keycode in keycodes.iter().filter(|code| down[usize::from(**code / 8)] & (1 << (**code % 8)) == 0) {
        if pool.knows(*keycode, &now) {
            // One column without a symbol: the keycode then has no group of symbols.
            server.change_keyboard_mapping(1, *keycode, 1, &[0])?;
        }
    }
    server.ungrab_server()?.check()?;
    Ok(())
}

/// Waits until the server has sent data; false if it has not within `time`.
fn is_readable(server: &RustConnection, time: Option<Timespec>) -> io::Result<bool> {
    let mut polled = [PollFd::new(server.stream(), PollFlags::IN)];
    match poll(&mut polled, time.as_ref()) {
        Err(Errno::INTR) => Ok(true),
        told => Ok(told? > 0),
    }
}

fn store(server: &RustConnection, root: Window, known: u32, pool: &Pool) -> Result<(), Box<dyn Error>> {
    let keycodes: Vec<u8> = pool.keycodes().collect();
    server.change_property8(PropMode::REPLACE, root, known, AtomEnum::CARDINAL, &keycodes)?;
    server.flush()?;
    Ok(())
}

/// The symbols of every keycode, an empty list if the keycode has no group.
fn symbols(server: &RustConnection) -> Result<Symbols, Box<dyn Error>> {
    let (all, none) = (MapPart::KEY_SYMS, MapPart::default());
    let no_mods = xkb::VMod::default();
    let map =
        server.xkb_get_map(CORE, all, none, 0, 0, 0, 0, 0, 0, 0, 0, no_mods, 0, 0, 0, 0, 0, 0)?.reply()?;
    let keys = map.map.syms_rtrn.unwrap_or_default();
    let groups = |key: &xkb::KeySymMap| key.group_info & 0x0f;
    Ok((map.first_key_sym..=u8::MAX)
        .zip(keys)
        .map(|(keycode, key)| (keycode, if groups(&key) > 0 { key.syms } else { Vec::new() }))
        .collect())
}
