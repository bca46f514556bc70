#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <dirent.h>
#include <string.h>
#include <time.h>

void must(int err, const char *what, const char *file, int line) {
  if (err == MSUB_OK) return;
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, msub_err_text(err));
  exit(1);
}

uint64_t now_ms(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void sleep_ms(unsigned ms) {
  struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
  (void)nanosleep(&t, NULL);
}

size_t open_fds(void) {
  size_t n = 0;
  DIR *d = opendir("/proc/self/fd");
  CHECK(d);
  while (readdir(d)) n++;
  (void)closedir(d);
  return n - 3; /* ".", "..", and the folder itself */
}

int run_cases(const test_case *cases, size_t n, int argc, char **argv) {
  return run_cases_with(cases, n, argc, argv, NULL);
}

int run_cases_with(const test_case *cases, size_t n, int argc, char **argv, void (*after)(const char *name)) {
  size_t ran = 0;
  for (size_t i = 0; i < n; i++) {
    if (argc > 1 && strcmp(argv[1], cases[i].name) != 0) continue;
    uint64_t begun = now_ms();
    cases[i].run();
    if (after) after(cases[i].name);
    printf("ok %s (%llu ms)\n", cases[i].name, (unsigned long long)(now_ms() - begun));
    (void)fflush(stdout);
    ran++;
  }
  CHECK(ran > 0);
  return 0;
}
