/* tests/host/check.h: what every test program here uses. */
#ifndef MSUB_TESTS_CHECK_H
#define MSUB_TESTS_CHECK_H
#include <stdio.h>
#include <stdlib.h>
#include "meshsub/base.h"

#define CHECK(cond)                                                                                          \
  do {                                                                                                       \
    if (!(cond)) {                                                                                           \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                                   \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)
#define MUST(call) must((call), #call, __FILE__, __LINE__)
void must(int err, const char *what, const char *file, int line);

uint64_t now_ms(void);
void sleep_ms(unsigned ms);
size_t open_fds(void);

/* A program of cases: the one that is named, or all of them. */
typedef struct test_case {
  const char *name;
  void (*run)(void);
} test_case;
int run_cases(const test_case *cases, size_t n, int argc, char **argv);
#endif
