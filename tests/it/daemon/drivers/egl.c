// A stand-in for libEGL.so.1 with OpenGL, with the functions that desktopd calls. DEVICES is a word with one letter for
// each device: g draws, w draws with another color, s is drawn by software, r refuses, c crashes, h hangs,
// x crashes when it draws. While the file REFUSES exists, all refuse; while COLD exists, all wait. LOADED is a file that is made when the library is loaded.
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#ifndef DEVICES
#define DEVICES ""
#endif

#ifdef LOADED
__attribute__((constructor)) static void loaded(void) { open(LOADED, O_CREAT | O_WRONLY, 0600); }
#endif

static const char kinds[] = DEVICES;
static char kind;
static unsigned char color[4];

// The compiler must not know that this is no address.
static volatile int *volatile nowhere;
static void crash(void) { *nowhere = 1; }

// Handles: the number of the device and 1.
static char of(void *handle) { return kinds[(size_t)handle - 1]; }

void *eglGetProcAddress(const char *name) { return NULL; }

int eglGetError(void) { return 0x3001; }

const char *eglQueryString(void *display, int name) {
  return display ? "EGL_KHR_surfaceless_context EGL_KHR_no_config_context" : "EGL_EXT_platform_device";
}

unsigned eglQueryDevicesEXT(int max, void **devices, int *count) {
#ifdef CRASH_IN_LIST
  crash();
#endif
  *count = strlen(kinds);
  for (int i = 0; i < *count && i < max; i++) devices[i] = (void *)(size_t)(i + 1);
  return 1;
}

const char *eglQueryDeviceStringEXT(void *device, int name) {
  if (of(device) == 's') return name == 0x3055 ? "EGL_MESA_device_software" : NULL;
  switch (name) {
    case 0x3055: return "EGL_EXT_device_drm EGL_EXT_device_drm_render_node EGL_NV_device_cuda";
    case 0x3233: return "";
    default: return "/dev/dri/renderD128";
  }
}

unsigned eglQueryDeviceAttribEXT(void *device, int name, ptrdiff_t *value) {
  *value = (size_t)device - 1;
  return 1;
}

void *eglGetPlatformDisplayEXT(unsigned platform, void *device, const int *attributes) { return device; }

unsigned eglInitialize(void *display, int *major, int *minor) {
  kind = of(display);
#ifdef COLD
  while (!access(COLD, F_OK)) usleep(10000);
#endif
#ifdef REFUSES
  if (!access(REFUSES, F_OK)) return 0;
#endif
  if (kind == 'c') crash();
  while (kind == 'h') pause();
  return kind != 'r';
}

unsigned eglBindAPI(unsigned api) { return 1; }

void *eglCreateContext(void *display, void *config, void *share, const int *attributes) { return display; }

unsigned eglMakeCurrent(void *display, void *draw, void *read, void *context) { return 1; }

const char *glGetString(unsigned name) {
  return kind == 's' ? "SoftPipe" : name == 0x1f00 ? "Test" : "Test GPU/PCIe";
}

void glGenFramebuffers(int count, unsigned *names) { *names = 1; }
void glBindFramebuffer(unsigned target, unsigned name) {}
void glGenRenderbuffers(int count, unsigned *names) { *names = 1; }
void glBindRenderbuffer(unsigned target, unsigned name) {}
void glRenderbufferStorage(unsigned target, unsigned format, int width, int height) {}
void glFramebufferRenderbuffer(unsigned target, unsigned attachment, unsigned kind, unsigned name) {}
unsigned glCheckFramebufferStatus(unsigned target) { return 0x8cd5; }

void glClearColor(float red, float green, float blue, float alpha) {
  if (kind == 'x') crash();
  float parts[] = {red, green, blue, alpha};
  for (int i = 0; i < 4; i++) color[i] = parts[i] * 255 + 0.5f;
  if (kind == 'w') color[0] = 0;
}

void glClear(unsigned what) {}

void glReadPixels(int x, int y, int width, int height, unsigned format, unsigned type, void *to) {
  memcpy(to, color, 4);
}
