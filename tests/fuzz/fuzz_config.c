/* tests/fuzz/fuzz_config.c: a configuration file that anybody may have written, through the whole of "meshsub node --config FILE
 * --print-config": cli/config.c, cli/yaml.c and the checks of every option.
 *
 * A file is refused with one line that names it, and a line within it if it can; nothing is printed then. Or it is read, and what is printed is a
 * file that is read and printed the same. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "cli/commands.h"
#include "cli/text.h"
#include "tests/fuzz/fuzz.h"

#define ROOM ((size_t)4 << 20) /* a file has at most 1 MiB; printed, a byte may become six */

typedef struct outcome {
  int code;
  char *out, *err;
  size_t out_n, err_n;
} outcome;

static int empty(int *fd, const char *name) {
  if (*fd < 0) *fd = memfd_create(name, MFD_CLOEXEC);
  FUZZ_CHECK(*fd >= 0 && ftruncate(*fd, 0) == 0 && lseek(*fd, 0, SEEK_SET) == 0);
  return *fd;
}

static char *content(int fd, size_t *n) {
  off_t end = lseek(fd, 0, SEEK_END);
  FUZZ_CHECK(end >= 0 && (size_t)end < ROOM);
  char *text = malloc((size_t)end + 1);
  FUZZ_CHECK(text && pread(fd, text, (size_t)end, 0) == end);
  text[end] = 0;
  *n = (size_t)end;
  return text;
}

static void read_file(const void *text, size_t n, outcome *o) {
  static int in = -1, out = -1, err = -1;
  char path[64];
  char *argv[] = { (char[]){ "node" }, (char[]){ "--print-config" }, (char[]){ "--config" }, path, NULL };
  FUZZ_CHECK(n == 0 || write(empty(&in, "in"), text, n) == (ssize_t)n);
  if (n == 0) (void)empty(&in, "in");
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", in);
  (void)fflush(stdout);
  (void)fflush(stderr);
  int old_out = dup(STDOUT_FILENO), old_err = dup(STDERR_FILENO);
  FUZZ_CHECK(old_out >= 0 && old_err >= 0 && dup2(empty(&out, "out"), STDOUT_FILENO) >= 0 && dup2(empty(&err, "err"), STDERR_FILENO) >= 0);
  o->code = cmd_node(4, argv);
  (void)fflush(stdout);
  (void)fflush(stderr);
  FUZZ_CHECK(dup2(old_out, STDOUT_FILENO) >= 0 && dup2(old_err, STDERR_FILENO) >= 0);
  (void)close(old_out);
  (void)close(old_err);
  o->out = content(out, &o->out_n);
  o->err = content(err, &o->err_n);
}

static void forget(outcome *o) {
  free(o->out);
  free(o->err);
}

static unsigned lines_of(const uint8_t *text, size_t n) { /* libyaml counts more breaks than these */
  unsigned breaks = 1;
  for (size_t i = 0; i < n; i++) breaks += text[i] == '\n' || text[i] == '\r' || text[i] >= 0x80;
  return breaks + 1;
}

/* meshsub node: "/proc/self/fd/3", line 7: … */
static void check_refusal(const outcome *o, const uint8_t *text, size_t n) {
  static const char begin[] = "meshsub node: \"/proc/self/fd/";
  unsigned fd, line;
  FUZZ_CHECK(o->out_n == 0 && o->err_n > sizeof begin && strncmp(o->err, begin, sizeof begin - 1) == 0);
  FUZZ_CHECK(strchr(o->err, '\n') == o->err + o->err_n - 1 && strlen(o->err) == o->err_n);
  int found = sscanf(o->err, "meshsub node: \"/proc/self/fd/%u\", line %u: ", &fd, &line);
  FUZZ_CHECK(found >= 1);
  if (found == 2) FUZZ_CHECK(line >= 1 && line <= lines_of(text, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  outcome first, again;
  if (size > ROOM / 8) return 0;
  read_file(data, size, &first);
  FUZZ_CHECK(first.code == EXIT_OK || first.code == EXIT_FAILED);
  if (first.code == EXIT_FAILED) {
    check_refusal(&first, data, size);
    forget(&first);
    return 0;
  }
  FUZZ_CHECK(first.err_n == 0);
  read_file(first.out, first.out_n, &again);
  if (again.code != EXIT_OK) (void)fprintf(stderr, "printed:\n%s\n%s", first.out, again.err);
  FUZZ_CHECK(again.code == EXIT_OK && again.err_n == 0);
  if (again.out_n != first.out_n || memcmp(again.out, first.out, first.out_n) != 0) (void)fprintf(stderr, "printed:\n%s\nthen:\n%s", first.out, again.out);
  FUZZ_CHECK(again.out_n == first.out_n && memcmp(again.out, first.out, first.out_n) == 0);
  forget(&first);
  forget(&again);
  return 0;
}
