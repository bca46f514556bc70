/* pubsub/numbers.c: a counter of sequence numbers, kept in a store in blocks. */
#include "base/mem.h"
#include "meshsub/author.h"
#include <string.h>

#define KEY_MAX 128
#define BLOCK_MAX (1u << 24)

struct msub_numbers {
  msub_mem mem;
  msub_store store;
  msub_token token;
  uint64_t last, limit, wanted; /* given out; durable in the store; submitted (0: nothing waits) */
  uint32_t block;
  uint8_t key_n, key[KEY_MAX];
};

void msub_numbers_opts_init(msub_numbers_opts *o) {
  *o = (msub_numbers_opts){ .size = sizeof *o, .key = msub_str("msub/seqno"), .token = { UINT64_C(0x7365716e6f) }, .block = 1024 };
}

static void reserve(msub_numbers *c) {
  uint8_t value[8];
  if (c->wanted || c->limit > UINT64_MAX - c->block) return;
  uint64_t to = c->limit + c->block;
  for (unsigned i = 0; i < 8; i++) value[i] = (uint8_t)(to >> (56 - 8 * i));
  msub_store_op op = { true, { c->key, c->key_n }, { value, sizeof value } };
  if (c->store.ops->submit(c->store.s, &op, 1, c->token) == MSUB_OK) c->wanted = to;
}

static int stored(const msub_numbers *c, uint64_t *out) {
  msub_bytes v;
  int rc = c->store.ops->get(c->store.s, (msub_bytes){ c->key, c->key_n }, &v);
  *out = 0;
  if (rc == MSUB_ERR_NOTFOUND) return MSUB_OK;
  if (rc != MSUB_OK) return rc;
  if (v.n != 8) return MSUB_ERR_MALFORMED;
  for (unsigned i = 0; i < 8; i++) *out = *out << 8 | v.p[i];
  return MSUB_OK;
}

int msub_numbers_new(const msub_numbers_opts *o, const msub_now *now, msub_numbers **out) {
  *out = NULL;
  if (o->size != sizeof *o || !o->store.ops || o->store.ops->abi != MSUB_ABI || o->key.n == 0 || o->key.n > KEY_MAX || o->token.v == 0 ||
      o->block < 2 || o->block > BLOCK_MAX)
    return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_numbers *c = msub__zalloc(&mem, 1, sizeof *c);
  if (!c) return MSUB_ERR_NOMEM;
  c->mem = mem;
  c->store = o->store;
  c->token = o->token;
  c->block = o->block;
  c->key_n = (uint8_t)o->key.n;
  memcpy(c->key, o->key.p, o->key.n);
  int rc = stored(c, &c->last);
  if (rc != MSUB_OK) {
    msub__free(&mem, c, sizeof *c);
    return rc;
  }
  if (now->wall_ns > 0 && (uint64_t)now->wall_ns > c->last) c->last = (uint64_t)now->wall_ns;
  c->limit = c->last;
  reserve(c);
  *out = c;
  return MSUB_OK;
}

void msub_numbers_free(msub_numbers *c) {
  if (!c) return;
  msub_mem mem = c->mem;
  msub__free(&mem, c, sizeof *c);
}

int msub_numbers_next(void *counter, uint64_t *number) {
  msub_numbers *c = counter;
  if (c->limit - c->last <= c->block / 2) reserve(c);
  if (c->last == c->limit) return MSUB_ERR_LIMIT;
  *number = ++c->last;
  return MSUB_OK;
}

bool msub_numbers_durable(msub_numbers *c, msub_token token, int result) {
  if (token.v != c->token.v) return false;
  if (result == MSUB_OK && c->wanted) c->limit = c->wanted;
  c->wanted = 0;
  return true;
}

uint64_t msub_numbers_left(const msub_numbers *c) { return c->limit - c->last; }
