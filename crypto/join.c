#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "crypto/join.h"

int msub__join(msub__joined *j, const msub_bytes *parts, size_t n) {
  size_t total = 0;
  j->heap = NULL;
  if (n == 1) {
    j->bytes = parts[0];
    return MSUB_OK;
  }
  for (size_t i = 0; i < n; i++) {
    if (!msub__add_size(total, parts[i].n, &total)) return MSUB_ERR_NOMEM;
  }
  if (total > sizeof j->small && !(j->heap = malloc(total))) return MSUB_ERR_NOMEM;
  uint8_t *to = j->heap ? j->heap : j->small;
  j->bytes = (msub_bytes){ to, total };
  for (size_t i = 0; i < n; i++) {
    if (parts[i].n > 0) memcpy(to, parts[i].p, parts[i].n);
    to += parts[i].n;
  }
  return MSUB_OK;
}

void msub__join_free(msub__joined *j) { free(j->heap); }
