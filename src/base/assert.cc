#include "base/assert.h"

#include <execinfo.h>

#include <cstdio>
#include <cstdlib>

namespace coterie {

void AssertFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "COTERIE ASSERTION FAILED: %s at %s:%d\n", expression, file, line);
  void* frames[64];
  const int count = backtrace(frames, 64);
  backtrace_symbols_fd(frames, count, 2);
  std::abort();
}

}  // namespace coterie
