/* tests/support/check.h: what test programs with a main() of their own use. */
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

/* For what has to happen, however slow the machine: only a test that fails waits so long. */
#define WITHIN_MS 60000u
/* Does `step` again and again until `cond` is true. */
#define UNTIL(step, cond)                                                                                    \
  do {                                                                                                       \
    uint64_t end_ = now_ms() + WITHIN_MS;                                                                    \
    while (!(cond)) {                                                                                        \
      if (now_ms() >= end_) {                                                                                \
        fprintf(stderr, "%s:%d: did not become true: %s\n", __FILE__, __LINE__, #cond);                      \
        exit(1);                                                                                             \
      }                                                                                                      \
      step;                                                                                                  \
    }                                                                                                        \
  } while (0)

uint64_t now_ms(void);
void sleep_ms(unsigned ms);
size_t open_fds(void);

/* A program of cases: the one that is named, or all of them. */
typedef struct test_case {
  const char *name;
  void (*run)(void);
} test_case;
int run_cases(const test_case *cases, size_t n, int argc, char **argv);
/* `after` runs behind each case and ends the program when the case has left something. */
int run_cases_with(const test_case *cases, size_t n, int argc, char **argv, void (*after)(const char *name));
#endif
