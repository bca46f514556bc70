/* base/buf.h: a growing byte buffer with a read position (streams in and out), and a reference-counted immutable block.
 *
 *   buf:  p ├── read ──┤├──── unread: begin … end ────┤├── spare: end … cap ──┤
 */
#ifndef MSUB_BASE_BUF_H
#define MSUB_BASE_BUF_H
#include "base/mem.h"

typedef struct msub__buf {
  uint8_t *p;
  size_t begin, end, cap;
} msub__buf;
void msub__buf_fini(msub__buf *b, const msub_mem *m); /* leaves an empty, usable buffer */
/* Room for n bytes behind the unread ones (moves them to the front when that is enough); NULL: no memory, nothing changed. */
uint8_t *msub__buf_reserve(msub__buf *b, const msub_mem *m, size_t n);
MSUB_MUST int msub__buf_append(msub__buf *b, const msub_mem *m, msub_bytes in);
void msub__buf_consume(msub__buf *b, size_t n); /* n <= unread; an emptied buffer starts again at 0 */
static inline msub_bytes msub__buf_unread(const msub__buf *b) {
  return b->p ? (msub_bytes){ b->p + b->begin, b->end - b->begin } : (msub_bytes){ NULL, 0 };
}
static inline size_t msub__buf_len(const msub__buf *b) { return b->end - b->begin; }

/* One block: header and bytes. Plain count: one thread. Freed with the allocator that made it. */
typedef struct msub__rc { uint32_t refs; uint32_t n; uint8_t bytes[]; } msub__rc;
msub__rc *msub__rc_new(const msub_mem *m, msub_bytes content); /* NULL: no memory or > 2^32-1 bytes */
static inline msub__rc *msub__rc_hold(msub__rc *r) { r->refs++; return r; }
void msub__rc_drop(const msub_mem *m, msub__rc *r); /* NULL is fine */
#endif
