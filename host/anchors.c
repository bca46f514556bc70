#include <stdlib.h>
#include <string.h>
#include "host/anchors.h"
#include "host/book.h"
#include "host/peers.h"
#include "host/protect.h"
#include "host/race.h"

#define PREFIX "anchor/"
#define PREFIX_N (sizeof PREFIX - 1)
#define KEY_MAX (PREFIX_N + MSUB_PEER_ID_MAX)
#define VALUE_MAX (3u + 16u + 2u)
enum { VERSION = 1, WS = 1 };

/* ---- records ---- */

static size_t put_key(const msub_peer_id *id, uint8_t out[KEY_MAX]) {
  memcpy(out, PREFIX, PREFIX_N);
  memcpy(out + PREFIX_N, id->bytes, id->n);
  return PREFIX_N + id->n;
}

static size_t put_value(const msub__tr_addr *at, uint8_t out[VALUE_MAX]) {
  out[0] = VERSION;
  out[1] = at->ws ? WS : 0;
  out[2] = at->n;
  memcpy(out + 3, at->ip, at->n);
  out[3 + at->n] = (uint8_t)(at->port >> 8);
  out[4 + at->n] = (uint8_t)at->port;
  return 5u + at->n;
}

static bool read_record(msub_bytes key, msub_bytes value, msub__anchor *out) {
  msub_bytes id = { key.p + PREFIX_N, key.n - PREFIX_N };
  if (key.n < PREFIX_N || id.n > MSUB_PEER_ID_MAX || msub_peer_id_check(id) != MSUB_OK) return false;
  if (value.n < 5 || value.p[0] != VERSION || value.p[1] > WS || (value.p[2] != 4 && value.p[2] != 16) || value.n != 5u + value.p[2]) return false;
  *out = (msub__anchor){ .id = msub_peer_id_of(id), .at = { .n = value.p[2], .ws = value.p[1] == WS } };
  memcpy(out->at.ip, value.p + 3, value.p[2]);
  out->at.port = (uint16_t)(value.p[value.n - 2] << 8 | value.p[value.n - 1]);
  return out->at.port != 0;
}

/* ---- keeping ---- */

static bool same(const msub__anchor *a, const msub__anchor *b) {
  return msub_bytes_eq(msub_peer_id_bytes(&a->id), msub_peer_id_bytes(&b->id)) && msub__tr_addr_same(&a->at, &b->at);
}

static bool has(const msub__anchor *all, unsigned n, const msub_peer_id *id) {
  for (unsigned i = 0; i < n; i++) {
    if (msub_bytes_eq(msub_peer_id_bytes(&all[i].id), msub_peer_id_bytes(id))) return true;
  }
  return false;
}

/* The connection that makes a peer an anchor; NULL: none does. */
static const msub__conn *lasting(const msub__peer *p) {
  const msub_host *h = p->host;
  const msub__conn *best = NULL;
  if (!msub__protect_has(h, msub__peer_bytes(p))) return NULL;
  for (msub__node *n = p->conns.next; n != &p->conns; n = n->next) {
    const msub__conn *c = MSUB__OF(n, msub__conn, of_peer);
    if (c->outbound && !c->failed && h->now.mono_ns - c->opened >= MSUB__HOST_LIVED_NS && (!best || c->opened < best->opened)) best = c;
  }
  return best;
}

/* The oldest first, then those that stand in the store. */
static unsigned choose(const msub_host *h, msub__anchor out[MSUB__HOST_ANCHORS]) {
  unsigned n = 0, most = h->o.anchors;
  while (n < most) {
    const msub__conn *best = NULL;
    for (size_t i = 0; i < h->n_peers; i++) {
      const msub__conn *c = has(out, n, &h->peers[i]->id) ? NULL : lasting(h->peers[i]);
      if (c && (!best || c->opened < best->opened)) best = c;
    }
    if (!best) break;
    out[n++] = (msub__anchor){ best->peer->id, best->remote };
  }
  for (unsigned i = 0; i < h->anchors.n && n < most; i++) {
    if (!has(out, n, &h->anchors.all[i].id)) out[n++] = h->anchors.all[i];
  }
  return n;
}

static bool is_new(const msub__anchor *a, const msub__anchor *all, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    if (same(a, &all[i])) return false;
  }
  return true;
}

static void keep(msub_host *h) {
  msub__anchor now[MSUB__HOST_ANCHORS];
  msub_store_op ops[2 * MSUB__HOST_ANCHORS];
  uint8_t keys[2 * MSUB__HOST_ANCHORS][KEY_MAX], values[MSUB__HOST_ANCHORS][VALUE_MAX];
  unsigned n = choose(h, now);
  size_t k = 0;
  for (unsigned i = 0; i < h->anchors.n; i++) {
    if (has(now, n, &h->anchors.all[i].id)) continue;
    ops[k] = (msub_store_op){ .key = { keys[k], put_key(&h->anchors.all[i].id, keys[k]) } };
    k++;
  }
  for (unsigned i = 0; i < n; i++) {
    if (!is_new(&now[i], h->anchors.all, h->anchors.n)) continue;
    ops[k] = (msub_store_op){ true, { keys[k], put_key(&now[i].id, keys[k]) }, { values[i], put_value(&now[i].at, values[i]) } };
    k++;
  }
  if (k == 0) return;
  int err = h->o.store.ops->submit(h->o.store.s, ops, k, (msub_token){ 0 });
  if (err != MSUB_OK) {
    h->counts.anchors_failed++; /* tried again in a minute */
    MSUB__LOG(h->log, MSUB_LOG_WARN, "host", "anchors cannot be stored: %s", msub_err_text(err));
    return;
  }
  memcpy(h->anchors.all, now, n * sizeof *now);
  h->anchors.n = n;
}

static void due(msub__timer *t) {
  msub_host *h = MSUB__OF(t, msub_host, anchors.timer);
  if (h->stopping) return;
  keep(h);
  msub__timer_start(h->wheel, t, msub__deadline(h->now.mono_ns, MSUB__HOST_ANCHOR_NS));
}

/* ---- start ---- */

typedef struct reading {
  msub_host *h;
  uint8_t bad[MSUB__HOST_ANCHORS][512]; /* keys that go */
  size_t bad_n[MSUB__HOST_ANCHORS];
  unsigned n_bad;
} reading;

static bool read_one(void *ud, msub_bytes key, msub_bytes value) {
  reading *r = ud;
  msub_host *h = r->h;
  if (h->anchors.n < h->o.anchors && read_record(key, value, &h->anchors.all[h->anchors.n])) {
    h->anchors.n++;
    return true;
  }
  h->counts.anchors_failed++;
  if (key.n > sizeof r->bad[0]) return true;
  memcpy(r->bad[r->n_bad], key.p, key.n);
  r->bad_n[r->n_bad++] = key.n;
  return r->n_bad < MSUB__HOST_ANCHORS;
}

static void dialled(msub_host *h, const msub__race *r, int err, const char *text) {
  (void)r;
  if (err == MSUB_OK) h->counts.anchors_connected++;
  else MSUB__LOG(h->log, MSUB_LOG_INFO, "host", "a peer of the time before the restart cannot be reached: %s", text);
}

void msub__anchors_start(msub_host *h) {
  if (!h->o.store.ops || h->o.anchors == 0) return;
  reading r = { .h = h };
  int err = h->o.store.ops->iterate(h->o.store.s, msub_str(PREFIX), read_one, &r);
  if (err != MSUB_OK) MSUB__LOG(h->log, MSUB_LOG_WARN, "host", "anchors cannot be read: %s", msub_err_text(err));
  for (unsigned i = 0; i < r.n_bad; i++) {
    const msub_store_op gone = { .key = { r.bad[i], r.bad_n[i] } };
    (void)h->o.store.ops->submit(h->o.store.s, &gone, 1, (msub_token){ 0 });
  }
  for (unsigned i = 0; i < h->anchors.n; i++) {
    const msub__anchor *a = &h->anchors.all[i];
    msub__race race = { .id = a->id, .done = dialled };
    msub__book_add(h, msub_peer_id_bytes(&a->id), &a->at, MSUB__BOOK_PROVED, NULL);
    msub__race_add(&race, &a->at);
    int begun = msub__race_begin(h, &race);
    if (begun != MSUB_OK) dialled(h, &race, begun, msub_err_text(begun)); /* it is in the book all the same */
  }
  msub__timer_start(h->wheel, &h->anchors.timer, msub__deadline(h->now.mono_ns, MSUB__HOST_ANCHOR_NS));
}

void msub__anchors_init(msub_host *h) { msub__timer_init(&h->anchors.timer, due); }

void msub__anchors_fini(msub_host *h) {
  if (h->wheel) msub__timer_stop(h->wheel, &h->anchors.timer);
}
