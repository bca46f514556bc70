#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"

void msub__log_write(const msub_log *l, msub_log_level level, const char *module, const char *fmt, ...) {
  char line[1024];
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  if (n < 0) return;
  size_t len = (size_t)n;
  if (len >= sizeof line) {
    len = sizeof line - 1;
    memcpy(line + len - 3, "...", 3);
  }
  /* Callers escape what peers sent; this keeps the promise of one line even when one of them forgets. */
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)line[i];
    if (c < 0x20 || c == 0x7f) line[i] = '?';
  }
  l->fn(l->ud, level, module, line);
}
