// Preloaded into nodes: their real-time clock is set off by the nanoseconds that the first eight bytes of
// $JUDGE_CLOCKS/<pid> hold, and calls itself synchronised. The monotonic clock is left alone. No call of libc that
// could be wrapped is made, so it works beside any allocator.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t* offset_ns;

__attribute__((constructor)) static void open_offset(void) {
  const char* folder = getenv("JUDGE_CLOCKS");
  if (folder == NULL) return;
  char path[512];
  snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, 8) != 0) return;
  void* place = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (place == MAP_FAILED) return;
  offset_ns = place;
  *offset_ns = 0;  // of an earlier process with that number
}

int clock_gettime(clockid_t clock, struct timespec* out) {
  const int answer = (int)syscall(SYS_clock_gettime, clock, out);
  if (answer == 0 && offset_ns != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    const int64_t ns = out->tv_sec * 1000000000LL + out->tv_nsec + *offset_ns;
    out->tv_sec = ns / 1000000000LL;
    out->tv_nsec = ns % 1000000000LL;
  }
  return answer;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

int adjtimex(struct timex* state) {
  memset(state, 0, sizeof *state);
  state->esterror = 1000;
  state->maxerror = 5000;
  state->status = STA_PLL;
  return TIME_OK;
}
