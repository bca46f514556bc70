/* tests/plain/runner.c: runs the tests of a program that was compiled against criterion/criterion.h beside it. */
#define _POSIX_C_SOURCE 200809L
#include <criterion/criterion.h>
#include <stdarg.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static plain_test *tests, *suites;
static const plain_test *now;

void plain_add(plain_test *t, bool suite) {
  plain_test **list = suite ? &suites : &tests;
  t->next = *list;
  *list = t;
}

_Noreturn void plain_failed(const char *file, int line, const char *what, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s:%d: %s/%s: not true: %s ", file, line, now->suite, now->name, what);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

static const plain_options *suite_of(const plain_test *t) {
  for (const plain_test *s = suites; s; s = s->next) {
    if (strcmp(s->suite, t->suite) == 0) return s->options;
  }
  return NULL;
}

/* A child: tests may change what is static, and count on finding it as it was. */
static int run(const plain_test *t) {
  const plain_options *s = suite_of(t);
  now = t;
  if (s && s->init) s->init();
  if (t->options->init) t->options->init();
  t->fn();
  if (t->options->fini) t->options->fini();
  if (s && s->fini) s->fini();
  return 0;
}

int main(void) {
  unsigned n = 0, failed = 0;
  for (const plain_test *t = tests; t; t = t->next, n++) {
    int status = 1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) exit(run(t));
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
      fprintf(stderr, "%s/%s failed\n", t->suite, t->name);
      failed++;
    }
  }
  printf("%u tests, %u failed\n", n, failed);
  return n == 0 || failed > 0;
}
