#include <string.h>
#include "base/assert.h"
#include "base/buf.h"
#include "base/checked.h"

#define FIRST_CAP 64u

void msub__buf_fini(msub__buf *b, const msub_mem *m) {
  msub__free(m, b->p, b->cap);
  *b = (msub__buf){ 0 };
}

static void to_front(msub__buf *b) {
  size_t n = b->end - b->begin;
  memmove(b->p, b->p + b->begin, n);
  b->begin = 0;
  b->end = n;
}

uint8_t *msub__buf_reserve(msub__buf *b, const msub_mem *m, size_t n) {
  static uint8_t nothing; /* an answer for "no bytes" that is not NULL */
  if (b->cap - b->end >= n) return b->p ? b->p + b->end : &nothing;
  size_t unread = b->end - b->begin;
  bool fits = b->cap - unread >= n;
  /* Moving is paid for by bytes that were consumed before: never more than one move per consumed byte. */
  if (fits && b->begin >= unread) {
    to_front(b);
    return b->p + b->end;
  }
  size_t need;
  if (!msub__add_size(unread, n, &need)) return NULL;
  size_t cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
  while (cap < need || (fits && cap == b->cap)) {
    if (!msub__mul_size(cap, 2, &cap)) cap = need;
  }
  uint8_t *p = msub__alloc(m, cap);
  if (!p && fits) {
    to_front(b);
    return b->p + b->end;
  }
  if (!p) return NULL;
  if (unread > 0) memcpy(p, b->p + b->begin, unread);
  msub__free(m, b->p, b->cap);
  *b = (msub__buf){ .p = p, .begin = 0, .end = unread, .cap = cap };
  return p + unread;
}

int msub__buf_append(msub__buf *b, const msub_mem *m, msub_bytes in) {
  if (in.n == 0) return MSUB_OK;
  uint8_t *p = msub__buf_reserve(b, m, in.n);
  if (!p) return MSUB_ERR_NOMEM;
  memcpy(p, in.p, in.n);
  b->end += in.n;
  return MSUB_OK;
}

void msub__buf_consume(msub__buf *b, size_t n) {
  MSUB__INVARIANT(n <= b->end - b->begin);
  b->begin += n;
  if (b->begin == b->end) b->begin = b->end = 0;
}

msub__rc *msub__rc_new(const msub_mem *m, msub_bytes content) {
  size_t size;
  if (content.n > UINT32_MAX || !msub__add_size(sizeof(msub__rc), content.n, &size)) return NULL;
  msub__rc *r = msub__alloc(m, size);
  if (!r) return NULL;
  r->refs = 1;
  r->n = (uint32_t)content.n;
  if (content.n > 0) memcpy(r->bytes, content.p, content.n);
  return r;
}

void msub__rc_drop(const msub_mem *m, msub__rc *r) {
  if (!r) return;
  MSUB__INVARIANT(r->refs > 0);
  if (--r->refs == 0) msub__free(m, r, sizeof *r + r->n);
}
