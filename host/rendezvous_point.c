/* host/rendezvous_point.c: registrations of peers, by namespace.
 *
 *   all:   (namespace, serial) ascending: what a question wants stands together, and what is new behind the serial of its cookie
 *   peers: by id, with how many registrations each has
 *
 * Both are sorted arrays: no hash, so nothing that a peer could aim at, and an insertion moves at most 8 bytes for each registration. */
#include <string.h>
#include "base/mem.h"
#include "host/limits.h"
#include "host/rate.h"
#include "meshsub/crypto.h"
#include "meshsub/rendezvous.h"
#include "meshsub/rpc.h"
#include "wire/rendezvous.h"

/* A number of 64 bits and the namespace, which is what programs on rust-libp2p insist on: a mark of this life in the upper bits, then the serial. */
#define COOKIE_HEAD 8u
#define SERIAL_BITS 40u
#define BURST_MAX 1000000u

typedef struct owner { msub_peer_id id; unsigned n; } owner;
typedef struct entry {
  uint64_t serial, seq, until;
  owner *of;
  uint16_t ns_n, record_n;
  uint8_t bytes[]; /* namespace, record */
} entry;
typedef struct array { void **v; size_t n, cap; } array;

struct msub_rendezvous_point {
  msub_mem mem;
  msub_rendezvous_point_opts o;
  msub_rendezvous_point_counts counts;
  array all, peers;
  uint64_t mark;            /* of cookies, in place */
  uint64_t serial, soonest; /* soonest: nothing ends before */
  size_t open;
  msub__rate of_peer, of_net;
};
typedef struct caller {
  msub_rendezvous_point *point;
  msub_peer_id id;
  msub_frames in;
  unsigned requests;
  uint8_t *out;
  size_t out_n, out_at;
  bool finished;
} caller;

/* ---- the arrays ---- */

static bool insert(msub_rendezvous_point *p, array *a, size_t at, void *what) {
  if (a->n == a->cap) {
    size_t cap = a->cap ? a->cap * 2 : 16;
    void **v = msub__realloc(&p->mem, a->v, a->cap * sizeof *v, cap * sizeof *v);
    if (!v) return false;
    a->v = v;
    a->cap = cap;
  }
  memmove(a->v + at + 1, a->v + at, (a->n - at) * sizeof *a->v);
  a->v[at] = what;
  a->n++;
  return true;
}
static void take_out(array *a, size_t at) {
  a->n--;
  memmove(a->v + at, a->v + at + 1, (a->n - at) * sizeof *a->v);
}

static int compare(msub_bytes a, msub_bytes b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
  return c ? c : (a.n > b.n) - (a.n < b.n);
}
static msub_bytes ns_of(const entry *e) { return (msub_bytes){ e->bytes, e->ns_n }; }
static msub_bytes record_of(const entry *e) { return (msub_bytes){ e->bytes + e->ns_n, e->record_n }; }
static size_t size_of(const entry *e) { return sizeof *e + e->ns_n + e->record_n; }

/* The first registration of the namespace with a later serial. */
static size_t behind(const msub_rendezvous_point *p, msub_bytes ns, uint64_t serial) {
  size_t low = 0, high = p->all.n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    const entry *e = p->all.v[mid];
    int c = compare(ns_of(e), ns);
    if (c < 0 || (c == 0 && e->serial <= serial)) low = mid + 1;
    else high = mid;
  }
  return low;
}
static size_t place_of(const msub_rendezvous_point *p, msub_bytes id) {
  size_t low = 0, high = p->peers.n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    const owner *o = p->peers.v[mid];
    if (compare(msub_peer_id_bytes(&o->id), id) < 0) low = mid + 1;
    else high = mid;
  }
  return low;
}
static owner *owner_at(const msub_rendezvous_point *p, size_t at, msub_bytes id) {
  owner *o = at < p->peers.n ? p->peers.v[at] : NULL;
  return o && msub_bytes_eq(msub_peer_id_bytes(&o->id), id) ? o : NULL;
}

static void drop_owner(msub_rendezvous_point *p, owner *o) {
  if (o->n > 0) return;
  take_out(&p->peers, place_of(p, msub_peer_id_bytes(&o->id)));
  msub__free(&p->mem, o, sizeof *o);
}
static void drop(msub_rendezvous_point *p, size_t at) {
  entry *e = p->all.v[at];
  take_out(&p->all, at);
  e->of->n--;
  drop_owner(p, e->of);
  msub__free(&p->mem, e, size_of(e));
}

/* Where the peer's registration in the namespace stands; all.n: nowhere. */
static size_t find(const msub_rendezvous_point *p, const owner *o, msub_bytes ns) {
  for (size_t i = o ? behind(p, ns, 0) : p->all.n; i < p->all.n; i++) {
    const entry *e = p->all.v[i];
    if (!msub_bytes_eq(ns_of(e), ns)) break;
    if (e->of == o) return i;
  }
  return p->all.n;
}

static void expire(msub_rendezvous_point *p, uint64_t now) {
  if (now < p->soonest) return;
  size_t kept = 0;
  p->soonest = MSUB_NEVER;
  for (size_t i = 0; i < p->all.n; i++) {
    entry *e = p->all.v[i];
    if (msub__passed(e->until, now)) {
      p->counts.expired++;
      e->of->n--;
      drop_owner(p, e->of);
      msub__free(&p->mem, e, size_of(e));
      continue;
    }
    p->soonest = msub__sooner(p->soonest, e->until);
    p->all.v[kept++] = e;
  }
  p->all.n = kept;
  if (p->soonest != MSUB_NEVER && p->soonest < now + MSUB__S) p->soonest = now + MSUB__S; /* walked at most once a second; find and discover look themselves */
}

/* ---- how often ---- */

/* The kind of address, and the bits that one network has in common: /24, /48. */
static msub_bytes network(const uint8_t ip[16], size_t n, uint8_t out[7]) {
  size_t bytes = n == 4 ? 3 : 6;
  out[0] = (uint8_t)n;
  memcpy(out + 1, ip, bytes);
  return (msub_bytes){ out, 1 + bytes };
}

/* Both have a token or none is taken. */
static bool may_register(msub_rendezvous_point *p, const msub_peer_id *who, uint64_t now) {
  uint8_t ip[16], key[7];
  msub_bytes id = msub_peer_id_bytes(who);
  size_t n = p->o.ip ? p->o.ip(p->o.ip_ud, id, ip) : 0;
  msub__rate_row *net = NULL, *peer;
  if ((n == 4 || n == 16) && !(net = msub__rate_find(&p->of_net, network(ip, n, key), now))) {
    p->counts.refused_net_rate++;
    return false;
  }
  if (!(peer = msub__rate_find(&p->of_peer, id, now))) {
    p->counts.refused_peer_rate++;
    return false;
  }
  msub__rate_take(&p->of_peer, peer, now);
  if (net) msub__rate_take(&p->of_net, net, now);
  return true;
}

/* ---- requests ---- */

static uint64_t store(msub_rendezvous_point *p, const msub_peer_id *who, const msub__rv_message *m, uint64_t seq, uint64_t until) {
  msub_bytes id = msub_peer_id_bytes(who);
  size_t at = place_of(p, id), old;
  owner *o = owner_at(p, at, id);
  old = find(p, o, m->ns);
  bool again = old < p->all.n;
  if (again && ((entry *)p->all.v[old])->seq > seq) return MSUB__RV_INVALID_RECORD; /* an older record of the same peer */
  if (!again && o && o->n >= p->o.max_per_peer) {
    p->counts.refused_peer_full++;
    return MSUB__RV_NOT_AUTHORIZED;
  }
  if (!again && p->all.n >= p->o.max_registrations) {
    p->counts.refused_full++;
    return MSUB__RV_UNAVAILABLE;
  }
  entry *e = msub__alloc(&p->mem, sizeof *e + m->ns.n + m->record.n);
  if (!e) goto no_memory;
  if (!o) {
    o = msub__zalloc(&p->mem, 1, sizeof *o);
    if (o) o->id = *who;
    if (!o || !insert(p, &p->peers, at, o)) {
      msub__free(&p->mem, o, sizeof *o);
      msub__free(&p->mem, e, sizeof *e + m->ns.n + m->record.n);
      goto no_memory;
    }
  }
  *e = (entry){ .serial = p->serial + 1, .seq = seq, .until = until, .of = o, .ns_n = (uint16_t)m->ns.n, .record_n = (uint16_t)m->record.n };
  memcpy(e->bytes, m->ns.p, m->ns.n);
  memcpy(e->bytes + m->ns.n, m->record.p, m->record.n);
  if (!insert(p, &p->all, behind(p, m->ns, p->serial), e)) {
    drop_owner(p, o);
    msub__free(&p->mem, e, size_of(e));
    goto no_memory;
  }
  o->n++;
  p->serial++;
  if (again) drop(p, old); /* stands before the new one */
  p->soonest = msub__sooner(p->soonest, until);
  p->counts.registered++;
  return MSUB__RV_OK;
no_memory:
  p->counts.refused_full++;
  return MSUB__RV_UNAVAILABLE;
}

static bool ns_fits(msub_bytes ns) { return ns.n > 0 && ns.n <= MSUB__RENDEZVOUS_NAMESPACE; }

static uint64_t do_register(msub_rendezvous_point *p, const msub_peer_id *who, const msub__rv_message *m, uint64_t now, uint64_t *ttl) {
  msub_peer_record r;
  *ttl = m->has_ttl ? m->ttl : p->o.ttl_s;
  if (!ns_fits(m->ns)) {
    p->counts.refused_namespace++;
    return MSUB__RV_INVALID_NAMESPACE;
  }
  if (*ttl < p->o.min_ttl_s || *ttl > p->o.max_ttl_s) {
    p->counts.refused_ttl++;
    return MSUB__RV_INVALID_TTL;
  }
  if (!may_register(p, who, now)) return MSUB__RV_UNAVAILABLE;
  if (m->record.n > MSUB__RENDEZVOUS_RECORD || msub_peer_record_open(m->record, msub_peer_id_bytes(who), &r) != MSUB_OK || r.n_addrs == 0) {
    p->counts.refused_record++;
    return MSUB__RV_INVALID_RECORD;
  }
  uint64_t status = store(p, who, m, r.seq, msub__deadline(now, *ttl * MSUB__S));
  if (status == MSUB__RV_INVALID_RECORD) p->counts.refused_record++;
  return status;
}

static void do_unregister(msub_rendezvous_point *p, const msub_peer_id *who, msub_bytes ns) {
  msub_bytes id = msub_peer_id_bytes(who);
  size_t i = find(p, owner_at(p, place_of(p, id), id), ns);
  if (i == p->all.n) return;
  drop(p, i);
  p->counts.unregistered++;
}

static void put_u64(uint8_t *out, uint64_t v) {
  for (unsigned i = 0; i < 8; i++) out[i] = (uint8_t)(v >> (56 - 8 * i));
}
static uint64_t get_u64(const uint8_t *in) {
  uint64_t v = 0;
  for (unsigned i = 0; i < 8; i++) v = v << 8 | in[i];
  return v;
}
static bool read_cookie(const msub_rendezvous_point *p, msub_bytes cookie, msub_bytes ns, uint64_t *serial) {
  *serial = 0;
  if (cookie.n == 0) return true;
  if (cookie.n != COOKIE_HEAD + ns.n) return false;
  *serial = get_u64(cookie.p) ^ p->mark;
  return *serial <= p->serial && memcmp(cookie.p + COOKIE_HEAD, ns.p, ns.n) == 0;
}

/* A whole answer behind its length, into a new buffer. */
static uint8_t *frame(const msub_mem *mem, size_t n, size_t *at) {
  uint8_t *out = msub__alloc(mem, msub_varint_size(n) + n);
  *at = out ? msub_varint_put(out, n) : 0;
  return out;
}
static uint8_t *answer(const msub_mem *mem, const msub__rv_message *m, size_t *n) {
  size_t at, size = msub__rv_encode(m, NULL, 0);
  uint8_t *out = frame(mem, size, &at);
  if (out) *n = at + msub__rv_encode(m, out + at, size);
  return out;
}

static uint8_t *do_discover(msub_rendezvous_point *p, const msub__rv_message *m, uint64_t now, size_t *n) {
  msub__rv_message bad = { .type = MSUB__RV_DISCOVER_RESPONSE };
  uint64_t serial;
  if (!ns_fits(m->ns)) {
    p->counts.refused_namespace++;
    bad.status = MSUB__RV_INVALID_NAMESPACE;
    return answer(&p->mem, &bad, n);
  }
  if (!read_cookie(p, m->cookie, m->ns, &serial)) {
    p->counts.refused_cookie++;
    bad.status = MSUB__RV_INVALID_COOKIE;
    return answer(&p->mem, &bad, n);
  }
  p->counts.discovers++;
  size_t most = m->limit > 0 && m->limit < p->o.max_found ? (size_t)m->limit : p->o.max_found, first = behind(p, m->ns, serial), end, k = 0, body = 0;
  for (end = first; end < p->all.n && k < most; end++) {
    const entry *e = p->all.v[end];
    if (!msub_bytes_eq(ns_of(e), m->ns)) break;
    if (!msub__passed(e->until, now)) {
      size_t one = msub__rv_encode_registration(ns_of(e), record_of(e), (e->until - now) / MSUB__S, NULL, 0);
      if (body + one > MSUB__RENDEZVOUS_SAYS) break;
      body += one;
      k++;
    }
    serial = e->serial;
  }
  uint8_t cookie[COOKIE_HEAD + MSUB__RENDEZVOUS_NAMESPACE], head[MSUB__RV_HEAD];
  put_u64(cookie, p->mark | serial);
  memcpy(cookie + COOKIE_HEAD, m->ns.p, m->ns.n);
  msub_bytes c = { cookie, COOKIE_HEAD + m->ns.n };
  body += msub__rv_encode_discovered(MSUB__RV_OK, c, NULL, 0);
  size_t head_n = msub__rv_encode_head(body, head), at, total = head_n + body;
  uint8_t *out = frame(&p->mem, total, &at);
  if (!out) return NULL;
  total += at;
  memcpy(out + at, head, head_n);
  at += head_n;
  for (size_t i = first; i < end; i++) {
    const entry *e = p->all.v[i];
    if (!msub__passed(e->until, now)) at += msub__rv_encode_registration(ns_of(e), record_of(e), (e->until - now) / MSUB__S, out + at, total - at);
  }
  at += msub__rv_encode_discovered(MSUB__RV_OK, c, out + at, total - at);
  *n = at;
  return out;
}

/* ---- streams ---- */

static void free_out(caller *c) {
  msub__free(&c->point->mem, c->out, c->out_n);
  c->out = NULL;
  c->out_n = c->out_at = 0;
}
static void flush(caller *c, msub_stream *s) {
  const msub_exchange *x = &c->point->o.exchange;
  if (c->out) {
    c->out_at += x->ops->write(x->x, s, (msub_bytes){ c->out + c->out_at, c->out_n - c->out_at });
    if (c->out_at < c->out_n) return;
    free_out(c);
  }
  if (c->finished) x->ops->finish(x->x, s);
}

/* false: the stream is to be reset. */
static bool request(caller *c, msub_stream *s, msub_bytes in) {
  msub_rendezvous_point *p = c->point;
  msub__rv_message m;
  uint64_t now = p->o.exchange.ops->now(p->o.exchange.x);
  /* Who asks again reads first: an answer at a time. */
  if (c->out || ++c->requests > MSUB__RENDEZVOUS_REQUESTS || msub__rv_parse(in, &m) != MSUB_OK) return false;
  expire(p, now);
  size_t n = 0;
  if (m.type == MSUB__RV_REGISTER) {
    msub__rv_message r = { .type = MSUB__RV_REGISTER_RESPONSE };
    r.status = do_register(p, &c->id, &m, now, &r.ttl);
    if (r.status != MSUB__RV_OK) r.ttl = 0;
    c->out = answer(&p->mem, &r, &n);
  } else if (m.type == MSUB__RV_DISCOVER) {
    c->out = do_discover(p, &m, now, &n);
  } else if (m.type == MSUB__RV_UNREGISTER) {
    do_unregister(p, &c->id, m.ns);
    return true; /* nothing is said */
  }
  if (!c->out) return false;
  c->out_n = n;
  flush(c, s);
  return true;
}

static void *on_open(void *ud, msub_stream *s, msub_bytes peer) {
  msub_rendezvous_point *p = ud;
  (void)s;
  caller *c = peer.n <= MSUB_PEER_ID_MAX ? msub__zalloc(&p->mem, 1, sizeof *c) : NULL;
  if (!c) return NULL;
  c->point = p;
  c->id = msub_peer_id_of(peer);
  msub_frames_init(&c->in, &p->mem, MSUB__RENDEZVOUS_REQUEST, 0);
  p->open++;
  return c;
}
static size_t on_data(void *word, msub_stream *s, msub_bytes b) {
  caller *c = word;
  msub_bytes one;
  int rc;
  msub_frames_feed(&c->in, b);
  while ((rc = msub_frames_next(&c->in, &one)) > 0) {
    if (request(c, s, one)) continue;
    rc = MSUB_ERR_MALFORMED;
    break;
  }
  if (rc < 0) {
    c->point->counts.malformed++;
    c->point->o.exchange.ops->reset(c->point->o.exchange.x, s);
  }
  return b.n;
}
static void on_finish(void *word, msub_stream *s) {
  caller *c = word;
  c->finished = true;
  flush(c, s);
}
static void on_writable(void *word, msub_stream *s) { flush(word, s); }
static void on_end(void *word, msub_stream *s, msub_end why) {
  caller *c = word;
  msub_rendezvous_point *p = c->point;
  (void)s, (void)why;
  free_out(c);
  msub_frames_fini(&c->in);
  p->open--;
  msub__free(&p->mem, c, sizeof *c);
}
static const msub_stream_handler handler = { .abi = MSUB_ABI, .size = sizeof handler, .on_open = on_open, .on_data = on_data, .on_finish = on_finish,
                                             .on_writable = on_writable, .on_end = on_end };

/* ---- its life ---- */

void msub_rendezvous_point_opts_init(msub_rendezvous_point_opts *o) {
  *o = (msub_rendezvous_point_opts){ .size = sizeof *o, .max_registrations = 10000, .max_per_peer = 1000, .max_found = 100, .min_ttl_s = 60,
                                     .max_ttl_s = 259200, .ttl_s = 7200, .peer_burst = 256, .net_burst = 1024, .peer_ns = MSUB__S, .net_ns = 250 * MSUB__MS };
}

int msub_rendezvous_point_new(const msub_rendezvous_point_opts *o, msub_rendezvous_point **out) {
  if (o->size != sizeof *o || !o->exchange.ops || o->max_registrations < 1 || o->max_registrations > 1000000 || o->max_per_peer < 1 || o->max_found < 1 ||
      o->max_found > 1000 || o->min_ttl_s > o->ttl_s || o->ttl_s > o->max_ttl_s || o->max_ttl_s > 31536000 ||
      o->peer_burst < 1 || o->peer_burst > BURST_MAX || o->net_burst < 1 || o->net_burst > BURST_MAX || o->peer_ns < MSUB__MS || o->net_ns < MSUB__MS)
    return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_rendezvous_point *p = msub__zalloc(&mem, 1, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  p->mem = mem;
  p->o = *o;
  p->soonest = MSUB_NEVER;
  msub__rate_init(&p->of_peer, &mem, o->peer_burst, o->peer_ns, MSUB__RENDEZVOUS_RATES);
  msub__rate_init(&p->of_net, &mem, o->net_burst, o->net_ns, MSUB__RENDEZVOUS_RATES);
  if (p->o.epoch == 0) p->o.epoch = o->exchange.ops->now(o->exchange.x);
  p->mark = (p->o.epoch * UINT64_C(0x9e3779b97f4a7c15)) >> SERIAL_BITS << SERIAL_BITS;
  int err = o->exchange.ops->serve(o->exchange.x, MSUB_RENDEZVOUS_PROTOCOL, &handler, p);
  if (err != MSUB_OK) {
    msub__free(&mem, p, sizeof *p);
    return err;
  }
  *out = p;
  return MSUB_OK;
}

void msub_rendezvous_point_count(msub_rendezvous_point *p, msub_rendezvous_point_counts *out) {
  *out = p->counts;
  out->registrations = p->all.n;
}

int msub_rendezvous_point_free(msub_rendezvous_point *p) {
  if (!p) return MSUB_OK;
  if (p->open > 0) return MSUB_ERR_STATE;
  msub_mem mem = p->mem;
  while (p->all.n > 0) drop(p, p->all.n - 1);
  msub__free(&mem, p->all.v, p->all.cap * sizeof *p->all.v);
  msub__rate_fini(&p->of_peer);
  msub__rate_fini(&p->of_net);
  msub__free(&mem, p->peers.v, p->peers.cap * sizeof *p->peers.v);
  msub__free(&mem, p, sizeof *p);
  return MSUB_OK;
}
