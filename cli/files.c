#include "cli/files.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int read_file(const command *c, const char *option, const char *file, uint8_t *out, size_t cap, size_t *n) {
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, out, cap);
  int error = errno;
  if (fd >= 0) close(fd);
  if (got < 0) {
    say_error(c->program, "%s%s: cannot be read: %s", option, quoted(file), strerror(error));
    return EXIT_FAILED;
  }
  *n = (size_t)got;
  return -1;
}
