// Strong definitions of the C library's ways to learn the time, draw entropy, sleep and start
// threads. In a binary that links them (coterie_runtime_sim_traps) a call made while a simulation
// runs aborts: whatever made it would differ from run to run. At other times, and on other threads,
// the call passes through.

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "runtime/sim/scheduler.h"

namespace {

void Refuse(const char* function) {
  if (!coterie::runtime::SimulationRunning()) return;
  std::fprintf(stderr, "COTERIE SIMULATION TRAP: %s called while a simulation runs\n", function);
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  std::abort();
}

/// The C library's own definition, behind ours.
template <class F>
F Next(const char* function) {
  void* found = dlsym(RTLD_NEXT, function);
  if (found == nullptr) std::abort();
  return reinterpret_cast<F>(found);
}

bool CalledBy(const char* library, const void* return_address) {
  Dl_info where;
  return dladdr(return_address, &where) != 0 && where.dli_fname != nullptr &&
         std::strstr(where.dli_fname, library) != nullptr;
}

}  // namespace

#pragma clang diagnostic ignored "-Wmissing-prototypes"

// The sanitizers must see threads start: theirs is the definition behind ours when they are linked.
extern "C" __attribute__((weak)) int ___interceptor_pthread_create(pthread_t*,
                                                                   const pthread_attr_t*,
                                                                   void* (*)(void*), void*);

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) noexcept {
  const void* const caller = __builtin_return_address(0);
  // nghttp2 asks for the time whenever a peer resets a stream (its defence against floods of
  // resets) and lets nobody tell it: in a simulation it is told the virtual time.
  if (coterie::runtime::SimulationRunning() && CalledBy("libnghttp2", caller)) {
    const std::int64_t now = coterie::runtime::SimulationNow().time_since_epoch().count();
    *out = {.tv_sec = now / 1'000'000'000, .tv_nsec = now % 1'000'000'000};
    return 0;
  }
  // jemalloc asks when to give pages back to the system, which no simulated thing can see.
  if (!coterie::runtime::SimulationRunning() || !CalledBy("libjemalloc", caller)) {
    Refuse("clock_gettime");
  }
  static const auto next = Next<int (*)(clockid_t, timespec*)>("clock_gettime");
  return next(clock, out);
}

int gettimeofday(timeval* out, void* zone) noexcept {
  Refuse("gettimeofday");
  static const auto next = Next<int (*)(timeval*, void*)>("gettimeofday");
  return next(out, zone);
}

time_t time(time_t* out) noexcept {
  Refuse("time");
  static const auto next = Next<time_t (*)(time_t*)>("time");
  return next(out);
}

ssize_t getrandom(void* out, size_t size, unsigned flags) {
  Refuse("getrandom");
  static const auto next = Next<ssize_t (*)(void*, size_t, unsigned)>("getrandom");
  return next(out, size, flags);
}

int getentropy(void* out, size_t size) {
  Refuse("getentropy");
  static const auto next = Next<int (*)(void*, size_t)>("getentropy");
  return next(out, size);
}

int nanosleep(const timespec* wanted, timespec* left) {
  Refuse("nanosleep");
  static const auto next = Next<int (*)(const timespec*, timespec*)>("nanosleep");
  return next(wanted, left);
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* wanted, timespec* left) {
  Refuse("clock_nanosleep");
  static const auto next =
      Next<int (*)(clockid_t, int, const timespec*, timespec*)>("clock_nanosleep");
  return next(clock, flags, wanted, left);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  Refuse("pthread_create");
  if (___interceptor_pthread_create != nullptr) {
    return ___interceptor_pthread_create(thread, attributes, start, argument);
  }
  static const auto next =
      Next<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  return next(thread, attributes, start, argument);
}

}  // extern "C"
