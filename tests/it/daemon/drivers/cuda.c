// A stand-in for libcuda.so.1, with the functions that desktopd calls. What it answers is chosen by -D: VERSION and INIT
// (the result of cuInit); CRASH and HANG, in cuInit; LOG, a file that gets a line for each start.
#include <stdio.h>
#include <unistd.h>

#ifndef INIT
#define INIT 0
#endif

int cuDriverGetVersion(int *version) {
  *version = VERSION;
  return 0;
}

int cuInit(unsigned flags) {
#ifdef LOG
  FILE *log = fopen(LOG, "a");
  fprintf(log, "%d\n", VERSION);
  fclose(log);
#endif
#ifdef CRASH
  // The compiler must not know that this is no address.
  volatile int *volatile nowhere = 0;
  *nowhere = 1;
#endif
#ifdef HANG
  for (;;) pause();
#endif
  return INIT;
}
