// A stand-in for libnvidia-ml.so.1, with the functions that desktopd calls. What it answers is chosen by -D:
// GPUS, INIT (the result of nvmlInit), LOST, HANG and MIG (the number of a GPU); CRASH, HANG_INIT, FLOOD and TALK.
// Files: while COLD exists, nvmlInit waits; while GONE exists, all GPUs are lost. EVENTS is a named pipe from which waits
// for events read: a number is an Xid, and "lost", "late" and "crash" are what they say. NO_EVENTS: not supported. While
// STUCK exists, the question what a GPU does hangs.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef GPUS
#define GPUS 2
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef LOST
#define LOST -1
#endif
#ifndef HANG
#define HANG -1
#endif
#ifndef MIG
#define MIG -1
#endif

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, TIMEOUT = 10, GPU_IS_LOST = 15 };

struct pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char address[32];
};

// Handles: the number of the GPU and 1; for an instance 100 more.
typedef long handle;

extern char **environ;

static void hang(void) {
  for (;;) pause();
}

int nvmlInit_v2(void) {
#ifdef CRASH
  fprintf(stderr, "first\n\033[2Jlast words\n");
  // The compiler must not know that this is no address.
  volatile int *volatile nowhere = 0;
  *nowhere = 1;
#endif
#ifdef HANG_INIT
  fprintf(stderr, "waiting\n");
  hang();
#endif
#ifdef COLD
  while (!access(COLD, F_OK)) usleep(10000);
#endif
#ifdef FLOOD
  for (;;) puts("{\"done\":null}");
#endif
#ifdef TALK
  // A library's own output is no answer.
  puts("\"done\"");
  fflush(stdout);
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, status))
    if (!strncmp(line, "CapEff", 6) || !strncmp(line, "NoNewPrivs", 10)) fputs(line, stderr);
  for (char **variable = environ; *variable; variable++) fprintf(stderr, "%.*s\n", 30, *variable);
  exit(7);
#endif
  return INIT;
}

int nvmlShutdown(void) {
  hang();
  return OK;
}

static int text(char *to, unsigned size, const char *from) {
  snprintf(to, size, "%s", from);
  return OK;
}

int nvmlSystemGetDriverVersion(char *to, unsigned size) { return text(to, size, "580.95.05"); }

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
  *version = 13010;
  return OK;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = GPUS;
  return GPUS ? OK : NOT_FOUND;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle *device) {
#ifdef GONE
  if (!access(GONE, F_OK)) return GPU_IS_LOST;
#endif
  if ((int)index == LOST) return GPU_IS_LOST;
  if ((int)index == HANG) hang();
  *device = index + 1;
  return OK;
}

int nvmlDeviceGetName(handle device, char *to, unsigned size) { return text(to, size, "NVIDIA Test GPU"); }

int nvmlDeviceGetUUID(handle device, char *to, unsigned size) {
  snprintf(to, size, device > 100 ? "MIG-%ld" : "GPU-%ld", device - 1);
  return OK;
}

int nvmlDeviceGetPciInfo_v3(handle device, struct pci *pci) {
  memset(pci, 0, sizeof *pci);
  snprintf(pci->address, sizeof pci->address, "00000000:%02lX:00.0", 0xA0 + device);
  return OK;
}

int nvmlDeviceGetMinorNumber(handle device, unsigned *minor) {
  *minor = GPUS - device;
  return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(handle device, unsigned *count) {
  *count = device - 1 == MIG ? 7 : 0;
  return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(handle device, unsigned index, handle *instance) {
  // Not all places have an instance.
  if (index == 1 || index > 3) return NOT_FOUND;
  *instance = 101 + index;
  return OK;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, handle *device) {
  for (*device = 1; *device <= GPUS; ++*device) {
    char known[32];
    snprintf(known, sizeof known, "0000:%02lx:00.0", 0xA0 + *device);
    if (!strcmp(address, known)) return OK;
  }
  return NOT_FOUND;
}

int nvmlEventSetCreate(handle *set) {
  *set = 1;
  return OK;
}

int nvmlEventSetFree(handle set) { return OK; }

int nvmlDeviceRegisterEvents(handle device, unsigned long long types, handle set) {
#ifdef NO_EVENTS
  return NOT_SUPPORTED;
#endif
  return types == 8 ? OK : NOT_SUPPORTED;
}

struct event {
  handle device;
  unsigned long long type, data;
  unsigned gpu, compute;
};

int nvmlEventSetWait_v2(handle set, struct event *event, unsigned timeout) {
#ifdef EVENTS
  static int events = -1;
  char word[16] = "";
  if (events < 0) events = open(EVENTS, O_RDONLY);
  for (int at = 0; at < 15; at++)
    if (read(events, &word[at], 1) != 1 || word[at] == '\n') break;
  if (!word[0]) hang();
  if (!strncmp(word, "lost", 4)) return GPU_IS_LOST;
  if (!strncmp(word, "late", 4)) return TIMEOUT;
  if (!strncmp(word, "crash", 5)) abort();
  *event = (struct event){1, 8, strtoull(word, NULL, 10), -1, -1};
  return OK;
#else
  hang();
#endif
}

struct rates {
  unsigned gpu, memory;
};

int nvmlDeviceGetUtilizationRates(handle device, struct rates *rates) {
#ifdef STUCK
  if (!access(STUCK, F_OK)) hang();
#endif
  *rates = (struct rates){37, 12};
  return OK;
}

int nvmlDeviceGetEncoderUtilization(handle device, unsigned *share, unsigned *period) {
  *share = 4;
  *period = 166667;
  return OK;
}

struct memory {
  unsigned version;
  unsigned long long total, reserved, free, used;
};

int nvmlDeviceGetMemoryInfo_v2(handle device, struct memory *memory) {
  memory->total = 16ULL << 30;
  memory->used = 3ULL << 30;
  return OK;
}

int nvmlDeviceGetTemperature(handle device, int sensor, unsigned *degrees) {
  *degrees = sensor == 0 ? 46 : 0;
  return OK;
}

int nvmlDeviceGetPowerUsage(handle device, unsigned *milliwatts) { return NOT_SUPPORTED; }
