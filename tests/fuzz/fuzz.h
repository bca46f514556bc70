/* tests/fuzz/fuzz.h: what a fuzz target defines, and how it says that a property does not hold. */
#ifndef MSUB_TESTS_FUZZ_H
#define MSUB_TESTS_FUZZ_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                                                                     \
  do {                                                                                                       \
    if (!(cond)) {                                                                                           \
      (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond);                        \
      abort();                                                                                               \
    }                                                                                                        \
  } while (0)
#endif
