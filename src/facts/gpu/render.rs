//! Draws on one device of EGL and reads the pixel back: the only proof that programs can draw on a GPU. A device node,
//! and a device in EGL's list, prove nothing: the renderer behind them may be a program on the CPU.
//!
//! Without a display and without root: EGL's device platform, a context without a surface, a buffer of its own. With
//! desktop OpenGL, as VirtualGL and an X server use it. Only for child processes (see `answer.rs`): a library may crash.
//! Nothing is given back to the libraries, because the process ends after the answer.
//!
//! This module has the calls that have no safe interface: loading a library, and the functions in it. The types of the
//! functions are those of the Khronos headers.

#![expect(unsafe_code, reason = "EGL and OpenGL have no safe interface")]

use std::ffi::{CStr, c_char, c_void};
use std::mem::{ManuallyDrop, transmute};
use std::ptr::{null, null_mut};

use libloading::Library;

use super::line::{COLOR, Drawn, Line, Listed};
use super::node::{self, Refusal};

/// The dispatcher, or the EGL of a driver.
const LIBRARY: &str = "libEGL.so.1";

/// More devices are not asked for.
const MOST_DEVICES: usize = 32;

/// The side of the picture, in pixels.
const SIDE: i32 = 16;

/// A device, a display, a context or a surface of EGL.
type Handle = *mut c_void;

// From eglext.h, egl.h and gl.h.
const EGL_NONE: i32 = 0x3038;
const EGL_EXTENSIONS: i32 = 0x3055;
const EGL_PLATFORM_DEVICE: u32 = 0x313f;
const EGL_DRM_DEVICE_FILE: i32 = 0x3233;
const EGL_DRM_RENDER_NODE_FILE: i32 = 0x3377;
const EGL_CUDA_DEVICE: i32 = 0x323a;
const EGL_OPENGL_API: u32 = 0x30a2;
const GL_COLOR_BUFFER_BIT: u32 = 0x4000;
const GL_UNSIGNED_BYTE: u32 = 0x1401;
const GL_RGBA: u32 = 0x1908;
const GL_VENDOR: u32 = 0x1f00;
const GL_RENDERER: u32 = 0x1f01;
const GL_RGBA8: u32 = 0x8058;
const GL_FRAMEBUFFER_COMPLETE: u32 = 0x8cd5;
const GL_COLOR_ATTACHMENT0: u32 = 0x8ce0;
const GL_FRAMEBUFFER: u32 = 0x8d40;
const GL_RENDERBUFFER: u32 = 0x8d41;

/// Declares a table of functions, and loads all of them by their names.
macro_rules! functions {
    ($table:ident { $($name:ident: fn($($argument:ty),*) -> $result:ty;)* }) => {
        #[expect(non_snake_case, reason = "the names are those of the libraries")]
        struct $table {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl $table {
            fn load(library: &Loaded) -> Result<Self, String> {
                Ok(Self {
                    $($name: {
                        let found = library.find(concat!(stringify!($name), "\0"))?;
                        // SAFETY: `found` is the address of the function of this name, so it is not null, and a
                        // function of this name has this type. The library stays loaded until the process ends.
                        unsafe { transmute::<Handle, unsafe extern "C" fn($($argument),*) -> $result>(found) }
                    },)*
                })
            }
        }
    };
}

functions! {
    Egl {
        eglGetError: fn() -> i32;
        eglQueryString: fn(Handle, i32) -> *const c_char;
        eglQueryDevicesEXT: fn(i32, *mut Handle, *mut i32) -> u32;
        eglQueryDeviceStringEXT: fn(Handle, i32) -> *const c_char;
        eglQueryDeviceAttribEXT: fn(Handle, i32, *mut isize) -> u32;
        eglGetPlatformDisplayEXT: fn(u32, Handle, *const i32) -> Handle;
        eglInitialize: fn(Handle, *mut i32, *mut i32) -> u32;
        eglBindAPI: fn(u32) -> u32;
        eglCreateContext: fn(Handle, Handle, Handle, *const i32) -> Handle;
        eglMakeCurrent: fn(Handle, Handle, Handle, Handle) -> u32;
    }
}

functions! {
    Gl {
        glGetString: fn(u32) -> *const c_char;
        glGenFramebuffers: fn(i32, *mut u32) -> ();
        glBindFramebuffer: fn(u32, u32) -> ();
        glGenRenderbuffers: fn(i32, *mut u32) -> ();
        glBindRenderbuffer: fn(u32, u32) -> ();
        glRenderbufferStorage: fn(u32, u32, i32, i32) -> ();
        glFramebufferRenderbuffer: fn(u32, u32, u32, u32) -> ();
        glCheckFramebufferStatus: fn(u32) -> u32;
        glClearColor: fn(f32, f32, f32, f32) -> ();
        glClear: fn(u32) -> ();
        glReadPixels: fn(i32, i32, i32, i32, u32, u32, *mut c_void) -> ();
    }
}

/// Draws on the device at `position` in EGL's list. At position 0 it tells the whole list before.
pub(super) fn draw(position: usize, tell: &mut dyn FnMut(&Line)) -> Result<(), String> {
    let library = Loaded::open()?;
    let egl = Egl::load(&library)?;
    let devices = egl.devices()?;
    if position == 0 {
        tell(&Line::Devices(devices.iter().map(|device| egl.describe(*device)).collect()));
    }
    let Some(device) = devices.get(position) else {
        // An empty list is an answer.
        return if position == 0 { Ok(()) } else { Err("EGL does not list the device any more".to_owned()) };
    };
    let display = egl.initialize(*device)?;
    tell(&Line::Initialized);
    egl.make_current(display)?;
    tell(&Line::Drawn(Gl::load(&library)?.clear_and_read()?));
    Ok(())
}

/// EGL's library. It is never unloaded: drivers start threads, which would run on without their code (Mesa's crash then).
struct Loaded {
    library: ManuallyDrop<Library>,
    by_name: unsafe extern "C" fn(*const c_char) -> Handle,
}

impl Loaded {
    fn open() -> Result<Self, String> {
        // SAFETY: code runs when the library is loaded. It is the code of the system's driver, which every program that
        // draws loads as well, and this process has one thread and does nothing else.
        let library = unsafe { Library::new(LIBRARY) }.map_err(|error| not_loaded(&error.to_string()))?;
        // SAFETY: the function of this name has this type.
        let by_name = unsafe { library.get(b"eglGetProcAddress\0") };
        let by_name = *by_name.map_err(|error| format!("{LIBRARY} is not a library of EGL: {error}"))?;
        Ok(Self { library: ManuallyDrop::new(library), by_name })
    }

    /// The address of the function `name`, which ends with a zero. Extensions and OpenGL are known only by name.
    fn find(&self, name: &str) -> Result<Handle, String> {
        // SAFETY: only the address is taken.
        let exported = unsafe { self.library.get::<Handle>(name.as_bytes()) };
        let found = exported.map_or_else(
            // SAFETY: `name` ends with a zero, and EGL only reads it.
            |_| unsafe { (self.by_name)(name.as_ptr().cast()) },
            |symbol| *symbol,
        );
        if found.is_null() {
            return Err(format!("EGL has no function {}", name.trim_end_matches('\0')));
        }
        Ok(found)
    }
}

impl Egl {
    /// EGL's list of devices.
    fn devices(&self) -> Result<Vec<Handle>, String> {
        let extensions = self.extensions(null_mut());
        if !extensions.contains("EGL_EXT_platform_device") {
            return Err(
                "EGL cannot list devices (no EGL_EXT_platform_device): install a newer driver".to_owned()
            );
        }
        let (mut devices, mut count) = ([null_mut(); MOST_DEVICES], 0);
        let room = i32::try_from(devices.len()).unwrap_or(0);
        // SAFETY: the array has room for as many handles as the first argument says.
        let done = unsafe { (self.eglQueryDevicesEXT)(room, devices.as_mut_ptr(), &raw mut count) };
        if done == 0 {
            return Err(self.failed("eglQueryDevicesEXT"));
        }
        let count = usize::try_from(count).unwrap_or(0).min(MOST_DEVICES);
        Ok(devices[..count].to_vec())
    }

    /// The names of a device. EGL allows a question only if the device has the extension for it.
    fn describe(&self, device: Handle) -> Listed {
        let extensions = self.of_device(device, EGL_EXTENSIONS).unwrap_or_default();
        let has = |name: &str| extensions.split(' ').any(|extension| extension == name);
        let cuda = || {
            let mut number = 0;
            // SAFETY: `device` is from EGL's list, and `number` lives longer than the call.
            let done = unsafe { (self.eglQueryDeviceAttribEXT)(device, EGL_CUDA_DEVICE, &raw mut number) };
            u32::try_from(number).ok().filter(|_| done != 0)
        };
        let card = has("EGL_EXT_device_drm").then(|| self.of_device(device, EGL_DRM_DEVICE_FILE));
        let render =
            has("EGL_EXT_device_drm_render_node").then(|| self.of_device(device, EGL_DRM_RENDER_NODE_FILE));
        Listed {
            card: card.flatten(),
            render: render.flatten(),
            cuda: has("EGL_NV_device_cuda").then(cuda).flatten(),
        }
    }

    /// A text about a device; `None` if there is none, which some drivers say with an empty text.
    fn of_device(&self, device: Handle, name: i32) -> Option<String> {
        // SAFETY: `device` is from EGL's list; the answer is null or a text that EGL keeps.
        unsafe { text((self.eglQueryDeviceStringEXT)(device, name)) }
    }

    /// The extensions of a display; with null, those of EGL itself.
    fn extensions(&self, display: Handle) -> String {
        // SAFETY: `display` is null or initialized; the answer is null or a text that EGL keeps.
        unsafe { text((self.eglQueryString)(display, EGL_EXTENSIONS)) }.unwrap_or_default()
    }

    /// The display of a device, initialized.
    fn initialize(&self, device: Handle) -> Result<Handle, String> {
        // SAFETY: `device` is from EGL's list, and null means "no attributes".
        let display = unsafe { (self.eglGetPlatformDisplayEXT)(EGL_PLATFORM_DEVICE, device, null()) };
        if display.is_null() {
            return Err(self.failed("eglGetPlatformDisplayEXT"));
        }
        // SAFETY: `display` is from EGL, and null means that the versions are not wanted.
        if unsafe { (self.eglInitialize)(display, null_mut(), null_mut()) } == 0 {
            let failed = self.failed("eglInitialize");
            // A card is never opened here: the first process that opens a card becomes its master.
            return Err(match self.describe(device).render.and_then(|path| node::refusal(&path)) {
                Some(Refusal::ByRules(why) | Refusal::Other(why)) => format!("{failed}: {why}"),
                None => failed,
            });
        }
        Ok(display)
    }

    /// Makes a context without a surface, and uses it from now on.
    fn make_current(&self, display: Handle) -> Result<(), String> {
        let extensions = self.extensions(display);
        let has = |names: &[&str]| extensions.split(' ').any(|extension| names.contains(&extension));
        if !has(&["EGL_KHR_surfaceless_context"])
            || !has(&["EGL_KHR_no_config_context", "EGL_MESA_configless_context"])
        {
            return Err("the driver cannot draw without a window: install a newer driver".to_owned());
        }
        // SAFETY: a call without a pointer.
        if unsafe { (self.eglBindAPI)(EGL_OPENGL_API) } == 0 {
            return Err(self.failed("eglBindAPI for OpenGL"));
        }
        let attributes = [EGL_NONE];
        // SAFETY: `display` is initialized, null is "no configuration" and "no shared context", and the list of
        // attributes has its end.
        let context =
            unsafe { (self.eglCreateContext)(display, null_mut(), null_mut(), attributes.as_ptr()) };
        if context.is_null() {
            return Err(self.failed("eglCreateContext"));
        }
        // SAFETY: the context is of this display, and null is "no surface".
        if unsafe { (self.eglMakeCurrent)(display, null_mut(), null_mut(), context) } == 0 {
            return Err(self.failed("eglMakeCurrent"));
        }
        Ok(())
    }

    /// What failed, with EGL's error.
    fn failed(&self, what: &str) -> String {
        // SAFETY: a call without arguments.
        let error = unsafe { (self.eglGetError)() };
        let name = match error {
            0x3001 => " (EGL_NOT_INITIALIZED)",
            0x3002 => " (EGL_BAD_ACCESS)",
            0x3003 => " (EGL_BAD_ALLOC)",
            0x3009 => " (EGL_BAD_MATCH)",
            0x300c => " (EGL_BAD_PARAMETER)",
            0x300e => " (EGL_CONTEXT_LOST)",
            _ => "",
        };
        format!("{what} failed with {error:#x}{name}")
    }
}

impl Gl {
    /// Clears a picture with the color, and reads a pixel of the picture. A context must be current.
    fn clear_and_read(&self) -> Result<Drawn, String> {
        let [red, green, blue, alpha] = COLOR.map(|part| f32::from(part) / 255.0);
        let (mut frame, mut buffer, mut pixel) = (0, 0, [0; 4]);
        // SAFETY: `make_current` has made a context current on this thread. Each pointer is to a variable of this
        // function with room for what the call writes: one name, or one pixel of four bytes. The texts are null or kept
        // by the driver as long as the context exists.
        unsafe {
            let [vendor, renderer] = [GL_VENDOR, GL_RENDERER].map(|name| text((self.glGetString)(name)));
            (self.glGenRenderbuffers)(1, &raw mut buffer);
            (self.glBindRenderbuffer)(GL_RENDERBUFFER, buffer);
            (self.glRenderbufferStorage)(GL_RENDERBUFFER, GL_RGBA8, SIDE, SIDE);
            (self.glGenFramebuffers)(1, &raw mut frame);
            (self.glBindFramebuffer)(GL_FRAMEBUFFER, frame);
            (self.glFramebufferRenderbuffer)(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, buffer);
            let status = (self.glCheckFramebufferStatus)(GL_FRAMEBUFFER);
            if status != GL_FRAMEBUFFER_COMPLETE {
                return Err(format!("the driver offers no picture to draw in (status {status:#x})"));
            }
            (self.glClearColor)(red, green, blue, alpha);
            (self.glClear)(GL_COLOR_BUFFER_BIT);
            let to = (&raw mut pixel).cast();
            (self.glReadPixels)(SIDE / 2, SIDE / 2, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE, to);
            Ok(Drawn { vendor, renderer, pixel })
        }
    }
}

/// The text at `pointer`; `None` if there is none, or an empty one.
///
/// # Safety
///
/// `pointer` is null or leads to a text that ends with a zero and does not change during the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy();
    Some(text.into_owned()).filter(|text| !text.is_empty())
}

fn not_loaded(error: &str) -> String {
    if error.contains("libEGL.so.1: cannot open shared object file: No such file") {
        return format!("{LIBRARY} was not found: install the package libegl1");
    }
    format!("{LIBRARY} cannot be loaded: {error}")
}
