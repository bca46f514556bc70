/* wire/identify.c: see identify.h. */
#include "wire/identify.h"
#include <string.h>
#include "base/assert.h"
#include "crypto/pbc.h"
#include "identify.pb-c.h"

/* Working memory of one parse: 16 KiB of entries as short as real ones fit; 16 KiB of empty ones do not. */
#define ARENA (128u * 1024u)

/* ---- the block ----
 *
 * Filled twice by the same code: first the sizes are added up, then, in a block of that size, everything is
 * copied. */

typedef struct draft {
  uint32_t present;
  msub_bytes key, observed, protocol_version, agent, record;
  msub_bytes protocols[MSUB__IDENTIFY_PROTOCOLS_MAX], addrs[MSUB__IDENTIFY_ADDRS_MAX];
  size_t n_protocols, n_addrs, ignored;
} draft;

static size_t draft_bytes(const draft *d) {
  size_t n = d->key.n + d->observed.n + d->protocol_version.n + d->agent.n + d->record.n;
  for (size_t i = 0; i < d->n_protocols; i++) n += d->protocols[i].n;
  for (size_t i = 0; i < d->n_addrs; i++) n += d->addrs[i].n;
  return n;
}

static msub_bytes copy(uint8_t **at, msub_bytes b) {
  msub_bytes out = { *at, b.n };
  if (b.n > 0) memcpy(*at, b.p, b.n);
  *at += b.n;
  return out;
}

/* The views of the draft all lie in memory that was checked against limits: the sums cannot overflow. */
static int build(const msub_mem *mem, const draft *d, msub__identify **out) {
  size_t views = (d->n_protocols + d->n_addrs) * sizeof(msub_bytes);
  size_t size = sizeof(msub__identify) + views + draft_bytes(d);
  uint8_t *block = msub__alloc(mem, size);
  if (!block) return MSUB_ERR_NOMEM;
  msub__identify *id = (msub__identify *)(void *)block;
  msub_bytes *view = (msub_bytes *)(void *)(block + sizeof *id);
  uint8_t *at = block + sizeof *id + views;
  *id = (msub__identify){ .present = d->present,
                          .ignored = d->ignored,
                          .block = size,
                          .protocols = view,
                          .n_protocols = d->n_protocols,
                          .addrs = view + d->n_protocols,
                          .n_addrs = d->n_addrs };
  id->key = copy(&at, d->key);
  id->observed = copy(&at, d->observed);
  id->protocol_version = copy(&at, d->protocol_version);
  id->agent = copy(&at, d->agent);
  id->record = copy(&at, d->record);
  for (size_t i = 0; i < d->n_protocols; i++) *view++ = copy(&at, d->protocols[i]);
  for (size_t i = 0; i < d->n_addrs; i++) *view++ = copy(&at, d->addrs[i]);
  MSUB__INVARIANT(at == block + size);
  *out = id;
  return MSUB_OK;
}
_Static_assert(sizeof(msub__identify) % _Alignof(msub_bytes) == 0, "views follow the header");

void msub__identify_free(const msub_mem *mem, msub__identify *id) {
  msub_mem m = mem ? *mem : msub__mem_default();
  if (id) msub__free(&m, id, id->block);
}

/* ---- decoding ---- */

static bool listed(const msub_bytes *list, size_t n, msub_bytes what) {
  for (size_t i = 0; i < n; i++) {
    if (msub_bytes_eq(list[i], what)) return true;
  }
  return false;
}

static msub_bytes cut(msub_bytes b, size_t max) { return (msub_bytes){ b.p, b.n < max ? b.n : max }; }

static void keep_protocol(draft *d, msub_bytes p) {
  if (listed(d->protocols, d->n_protocols, p)) return;
  if (p.n > 0 && p.n <= MSUB__IDENTIFY_PROTOCOL_MAX && d->n_protocols < MSUB__IDENTIFY_PROTOCOLS_MAX)
    d->protocols[d->n_protocols++] = p;
  else
    d->ignored++;
}

static void keep_addr(draft *d, msub_bytes a) {
  if (listed(d->addrs, d->n_addrs, a)) return;
  if (a.n > 0 && d->n_addrs < MSUB__IDENTIFY_ADDRS_MAX && msub_multiaddr_check(a) == MSUB_OK)
    d->addrs[d->n_addrs++] = a;
  else
    d->ignored++;
}

static void take(draft *d, msub_bytes *field, uint32_t bit, protobuf_c_boolean has,
                 ProtobufCBinaryData value) {
  if (!has) return;
  *field = msub__pbc_view(value);
  d->present |= bit;
}

static int parse(msub_bytes in, msub__arena *arena, draft *d) {
  ProtobufCAllocator allocator = msub__pbc(arena);
  const Msub__Wire__Identify *m = msub__wire__identify__unpack(&allocator, in.n, in.p);
  if (!m) return arena->full ? MSUB_ERR_LIMIT : MSUB_ERR_MALFORMED;
  take(d, &d->key, MSUB__IDENTIFY_KEY, m->has_public_key, m->public_key);
  take(d, &d->observed, MSUB__IDENTIFY_OBSERVED, m->has_observed_addr, m->observed_addr);
  take(d, &d->protocol_version, MSUB__IDENTIFY_PROTOCOL_VERSION, m->has_protocol_version,
       m->protocol_version);
  take(d, &d->agent, MSUB__IDENTIFY_AGENT, m->has_agent_version, m->agent_version);
  take(d, &d->record, MSUB__IDENTIFY_RECORD, m->has_signed_peer_record, m->signed_peer_record);
  d->protocol_version = cut(d->protocol_version, MSUB__IDENTIFY_VERSION_MAX);
  d->agent = cut(d->agent, MSUB__IDENTIFY_VERSION_MAX);
  if (m->n_protocols > 0) d->present |= MSUB__IDENTIFY_PROTOCOLS;
  if (m->n_listen_addrs > 0) d->present |= MSUB__IDENTIFY_ADDRS;
  for (size_t i = 0; i < m->n_protocols; i++) keep_protocol(d, msub__pbc_view(m->protocols[i]));
  for (size_t i = 0; i < m->n_listen_addrs; i++) keep_addr(d, msub__pbc_view(m->listen_addrs[i]));
  return MSUB_OK;
}

int msub__identify_decode(const msub_mem *mem, msub_bytes in, msub__identify **out) {
  msub_mem m = mem ? *mem : msub__mem_default();
  msub__arena arena;
  draft d = { 0 };
  if (in.n > MSUB__IDENTIFY_MERGED_MAX) return MSUB_ERR_LIMIT;
  void *memory = msub__alloc(&m, ARENA);
  if (!memory) return MSUB_ERR_NOMEM;
  msub__arena_init(&arena, memory, ARENA);
  int err = parse(in, &arena, &d);
  if (!err) err = build(&m, &d, out);
  msub__free(&m, memory, ARENA);
  return err;
}

int msub__identify_merge(const msub_mem *mem, const msub__identify *old, const msub__identify *push,
                         msub__identify **out) {
  static const msub__identify nothing;
  msub_mem m = mem ? *mem : msub__mem_default();
  draft d = { 0 };
  if (!old) old = &nothing;
#define NEWER(bit) (push->present & (bit) ? push : old)
  d.present = old->present | push->present;
  d.key = NEWER(MSUB__IDENTIFY_KEY)->key;
  d.observed = NEWER(MSUB__IDENTIFY_OBSERVED)->observed;
  d.protocol_version = NEWER(MSUB__IDENTIFY_PROTOCOL_VERSION)->protocol_version;
  d.agent = NEWER(MSUB__IDENTIFY_AGENT)->agent;
  d.record = NEWER(MSUB__IDENTIFY_RECORD)->record;
  const msub__identify *p = NEWER(MSUB__IDENTIFY_PROTOCOLS), *a = NEWER(MSUB__IDENTIFY_ADDRS);
#undef NEWER
  d.ignored = push->ignored;
  d.n_protocols = p->n_protocols;
  d.n_addrs = a->n_addrs;
  for (size_t i = 0; i < p->n_protocols; i++) d.protocols[i] = p->protocols[i];
  for (size_t i = 0; i < a->n_addrs; i++) d.addrs[i] = a->addrs[i];
  return build(&m, &d, out);
}

/* ---- collecting the messages of one answer ---- */

void msub__identify_reader_init(msub__identify_reader *r, const msub_mem *mem) {
  *r = (msub__identify_reader){ .mem = mem ? *mem : msub__mem_default() };
}

void msub__identify_reader_fini(msub__identify_reader *r) {
  msub__buf_fini(&r->merged, &r->mem);
  r->left = r->messages = r->prefix_n = 0;
}

/* One byte of a length prefix. A length over the limit is refused before any byte of the message came. */
static int prefix_byte(msub__identify_reader *r, uint8_t b) {
  size_t merged = msub__buf_len(&r->merged);
  uint32_t length = 0;
  r->prefix[r->prefix_n++] = b;
  if (b & 0x80) return r->prefix_n < 3 ? MSUB_OK : MSUB_ERR_LIMIT; /* three bytes say 16384 or more */
  if (r->prefix_n > 1 && b == 0) return MSUB_ERR_MALFORMED;        /* padded */
  for (unsigned i = 0; i < r->prefix_n; i++) length |= (uint32_t)(r->prefix[i] & 0x7f) << (7 * i);
  r->prefix_n = 0;
  if (length > MSUB__IDENTIFY_MESSAGE_MAX || r->messages == MSUB__IDENTIFY_MESSAGES_MAX ||
      length > MSUB__IDENTIFY_MERGED_MAX - merged)
    return MSUB_ERR_LIMIT;
  r->messages++;
  r->left = length;
  return MSUB_OK;
}

int msub__identify_reader_input(msub__identify_reader *r, msub_bytes in) {
  while (in.n > 0) {
    size_t n = 1;
    int err;
    if (r->left == 0) {
      err = prefix_byte(r, in.p[0]);
    } else {
      n = in.n < r->left ? in.n : r->left;
      err = msub__buf_append(&r->merged, &r->mem, (msub_bytes){ in.p, n });
      if (!err) r->left -= (uint32_t)n;
    }
    if (err) return err;
    in = (msub_bytes){ in.p + n, in.n - n };
  }
  return MSUB_OK;
}

int msub__identify_reader_finish(msub__identify_reader *r, msub__identify **out) {
  int err = MSUB_ERR_MALFORMED;
  if (r->messages > 0 && r->left == 0 && r->prefix_n == 0)
    err = msub__identify_decode(&r->mem, msub__buf_unread(&r->merged), out);
  msub__identify_reader_fini(r);
  return err;
}

/* ---- asking ---- */

bool msub__identify_supports(const msub__identify *id, msub_bytes protocol) {
  return listed(id->protocols, id->n_protocols, protocol);
}

bool msub__identify_key_ok(const msub__identify *id, msub_bytes peer_id) {
  msub_peer_id of_key;
  if (id->key.n == 0) return true;
  return msub_public_key_peer_id(id->key, &of_key) == MSUB_OK &&
         msub_bytes_eq(msub_peer_id_bytes(&of_key), peer_id);
}

int msub__identify_record(const msub__identify *id, msub_bytes peer_id, msub_peer_record *out) {
  if (id->record.n == 0) return MSUB_ERR_NOTFOUND;
  if (peer_id.n == 0) return MSUB_ERR_MISMATCH; /* an empty expectation would accept anybody's */
  return msub_peer_record_open(id->record, peer_id, out);
}

msub_bytes msub__identify_observed(const msub__identify *id) {
  return id->observed.n > 0 && msub_multiaddr_check(id->observed) == MSUB_OK ? id->observed
                                                                             : (msub_bytes){ 0 };
}

/* ---- writing ---- */

int msub__identify_encode(const msub_mem *mem, const msub__identify_own *own, uint8_t *out, size_t cap) {
  msub_mem m = mem ? *mem : msub__mem_default();
  Msub__Wire__Identify id = MSUB__WIRE__IDENTIFY__INIT;
  size_t views, bytes, n;
  if (!msub__add_size(own->n_protocols, own->n_addrs, &views) ||
      !msub__mul_size(views, sizeof(ProtobufCBinaryData), &bytes))
    return MSUB_ERR_LIMIT;
  ProtobufCBinaryData *list = msub__alloc(&m, bytes);
  if (!list && bytes > 0) return MSUB_ERR_NOMEM;
  id.protocols = list;
  id.listen_addrs = list ? list + own->n_protocols : NULL;
  id.n_protocols = own->n_protocols;
  id.n_listen_addrs = own->n_addrs;
  for (size_t i = 0; i < own->n_protocols; i++) id.protocols[i] = msub__pbc_data(own->protocols[i]);
  for (size_t i = 0; i < own->n_addrs; i++) id.listen_addrs[i] = msub__pbc_data(own->addrs[i]);
  id.has_public_key = own->key.n > 0;
  id.public_key = msub__pbc_data(own->key);
  id.has_observed_addr = own->observed.n > 0;
  id.observed_addr = msub__pbc_data(own->observed);
  id.has_protocol_version = own->protocol_version.n > 0;
  id.protocol_version = msub__pbc_data(own->protocol_version);
  id.has_agent_version = own->agent.n > 0;
  id.agent_version = msub__pbc_data(own->agent);
  id.has_signed_peer_record = own->record.n > 0;
  id.signed_peer_record = msub__pbc_data(own->record);
  while ((n = msub__wire__identify__get_packed_size(&id)) + 2 > MSUB__IDENTIFY_OWN_MAX &&
         id.n_listen_addrs > 0)
    id.n_listen_addrs--;
  size_t prefix = n < 128 ? 1 : 2;
  int result = MSUB_ERR_LIMIT;
  if (n + prefix <= MSUB__IDENTIFY_OWN_MAX && n + prefix <= cap) {
    out[0] = (uint8_t)(n < 128 ? n : n | 0x80);
    if (prefix == 2) out[1] = (uint8_t)(n >> 7);
    msub__wire__identify__pack(&id, out + prefix);
    result = (int)(n + prefix);
  }
  msub__free(&m, list, bytes);
  return result;
}
