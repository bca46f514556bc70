/* host/rate.h: how often each of many keys may do something: a token bucket for each, kept only while it is not full. So a key that is not there has all its
 * tokens, and what a stranger leaves behind is gone after burst * each_ns. */
#ifndef MSUB_HOST_RATE_H
#define MSUB_HOST_RATE_H
#include "base/mem.h"
#include "meshsub/peer_id.h"

typedef struct msub__rate_row {
  uint64_t full_at; /* when all its tokens are back */
  uint8_t n, key[MSUB_PEER_ID_MAX];
} msub__rate_row;
typedef struct msub__rate {
  msub_mem mem;
  uint32_t burst, max; /* tokens of a key; keys */
  uint64_t each_ns;    /* one token comes back */
  size_t n, cap;
  msub__rate_row *rows; /* by key, ascending */
} msub__rate;

/* burst, max, each_ns > 0. */
void msub__rate_init(msub__rate *r, const msub_mem *mem, uint32_t burst, uint64_t each_ns, uint32_t max);
void msub__rate_fini(msub__rate *r);
/* The key's row if it has a token now, until the next call for this rate. NULL: none is left, or all rows are in use, or no memory. key: at most
 * MSUB_PEER_ID_MAX bytes. */
msub__rate_row *msub__rate_find(msub__rate *r, msub_bytes key, uint64_t now_ns);
void msub__rate_take(const msub__rate *r, msub__rate_row *row, uint64_t now_ns);
#endif
