#include <stdio.h>
#include <stdlib.h>
#include "base/assert.h"

_Noreturn void msub__invariant_failed(const char *what, const char *file, int line) {
  fprintf(stderr, "meshsub: %s:%d: invariant does not hold: %s\n", file, line, what);
  abort();
}
