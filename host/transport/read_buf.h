/* host/transport/read_buf.h: what connections read into. A small buffer serves a quiet connection; a read that fills it makes
 * the next one large, a read that would have fitted in a small one turns it back. A few of each size are kept for reuse. */
#ifndef MSUB_HOST_READ_BUF_H
#define MSUB_HOST_READ_BUF_H
#include "base/mem.h"
#include "host/transport/transport.h"

enum { MSUB__READ_SMALL, MSUB__READ_LARGE, MSUB__READ_SIZES };

typedef struct msub__read_bufs {
  struct msub__spare_buf *spare[MSUB__READ_SIZES];
  unsigned n_spare[MSUB__READ_SIZES];
} msub__read_bufs;
void msub__read_bufs_fini(msub__read_bufs *all, const msub_mem *mem);

/* Zeroed: no buffer yet. */
typedef struct msub__read_buf {
  uint8_t *p;
  uint8_t size, want;
} msub__read_buf;
/* A buffer of the wanted size if there is memory for one, else the one that is there. false: there is none. */
bool msub__read_buf_have(msub__read_bufs *all, const msub_mem *mem, msub__read_buf *b);
void msub__read_buf_give(msub__read_bufs *all, const msub_mem *mem, msub__read_buf *b); /* none: fine */
size_t msub__read_buf_cap(const msub__read_buf *b);
void msub__read_buf_learn(msub__read_buf *b, size_t n); /* a read brought n bytes */
#endif
