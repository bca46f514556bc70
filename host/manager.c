#include <stdlib.h>
#include <string.h>
#include "host/book.h"
#include "host/manager.h"
#include "host/protect.h"
#include "host/race.h"

/* ---- tags ---- */

static int32_t tag_value(const msub_host *h, const msub__tag *t) {
  if (t->half_life_ns == 0) return t->value;
  uint64_t halvings = (h->now.mono_ns - t->since) / t->half_life_ns;
  return halvings < 31 ? t->value / (int32_t)(UINT32_C(1) << halvings) : 0;
}

int64_t msub__manager_value(const msub__peer *p) {
  int64_t sum = 0;
  for (unsigned i = 0; i < p->n_tags; i++) sum += tag_value(p->host, &p->tags[i]);
  return sum;
}

void msub__manager_forget(msub__peer *p) {
  msub__free(&p->host->mem, p->tags, MSUB__HOST_TAGS * sizeof *p->tags);
  p->tags = NULL;
  p->n_tags = 0;
}

static msub__tag *find_tag(const msub__peer *p, const char *name) {
  for (unsigned i = 0; i < p->n_tags; i++) {
    if (strcmp(p->tags[i].name, name) == 0) return &p->tags[i];
  }
  return NULL;
}

int msub_host_tag(msub_host *h, msub_bytes peer_id, const char *tag, int32_t value, uint64_t half_life_ns) {
  msub__peer *p = msub__peers_find(h, peer_id);
  size_t n = strlen(tag);
  if (n == 0 || n >= MSUB__HOST_TAG_NAME) return MSUB_ERR_INVAL;
  if (!p) return MSUB_ERR_NOTFOUND;
  msub__tag *t = find_tag(p, tag);
  if (value == 0) {
    if (t) *t = p->tags[--p->n_tags];
    return MSUB_OK;
  }
  if (!t) {
    if (p->n_tags == MSUB__HOST_TAGS) return MSUB_ERR_LIMIT;
    if (!p->tags) p->tags = msub__zalloc(&h->mem, MSUB__HOST_TAGS, sizeof *p->tags);
    if (!p->tags) return MSUB_ERR_NOMEM;
    t = &p->tags[p->n_tags++];
    memcpy(t->name, tag, n + 1);
  }
  t->value = value;
  t->half_life_ns = half_life_ns;
  t->since = h->now.mono_ns;
  return MSUB_OK;
}

int msub_host_tag_value(msub_host *h, msub_bytes peer_id, const char *tag, int32_t *value) {
  const msub__peer *p = msub__peers_find(h, peer_id);
  const msub__tag *t = p ? find_tag(p, tag) : NULL;
  *value = t ? tag_value(h, t) : 0;
  return p ? MSUB_OK : MSUB_ERR_NOTFOUND;
}

int msub_host_protect(msub_host *h, msub_bytes peer_id, bool on) {
  if (msub_peer_id_check(peer_id) != MSUB_OK) return MSUB_ERR_INVAL;
  return msub__protect_by_program(h, peer_id, on);
}

/* ---- trimming ---- */

typedef struct candidate {
  msub__peer *peer;
  int64_t value;
  uint64_t opened; /* of its newest connection */
  bool last;       /* a router protects it */
} candidate;

static int first_to_go(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->last != y->last) return x->last ? 1 : -1;
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  if (x->opened != y->opened) return x->opened > y->opened ? -1 : 1;
  return 0;
}

/* false: it is spared. */
static bool consider(msub__peer *p, candidate *out) {
  const msub_host *h = p->host;
  msub_bytes id = msub__peer_bytes(p);
  *out = (candidate){ .peer = p, .value = msub__manager_value(p), .last = msub__protect_has(h, id) };
  if (msub__protect_has_program(h, id)) return false;
  for (msub__node *n = p->conns.next; n != &p->conns; n = n->next) {
    const msub__conn *c = MSUB__OF(n, msub__conn, of_peer);
    if (c->keep || h->now.mono_ns - c->opened < h->o.grace_ns) return false;
    if (c->opened > out->opened) out->opened = c->opened;
  }
  return p->n_conns > 0;
}

static void trim(msub_host *h) {
  size_t open = h->inbound + h->outbound, n = 0;
  candidate *all = msub__zalloc(&h->mem, h->n_peers, sizeof *all);
  if (!all) return;
  for (size_t i = 0; i < h->n_peers; i++) n += consider(h->peers[i], &all[n]);
  qsort(all, n, sizeof *all, first_to_go);
  for (size_t i = 0; i < n && open > (all[i].last ? h->o.high_water : h->o.low_water); i++) {
    open -= all[i].peer->n_conns < open ? all[i].peer->n_conns : open;
    h->counts.trimmed++;
    msub__peer_close(all[i].peer, MSUB_ERR_LIMIT, "makes room: there are too many connections");
  }
  msub__free(&h->mem, all, h->n_peers * sizeof *all);
}

/* ---- dialling known peers ---- */

static void over(msub_host *h, const msub__race *r, int err, const char *text) {
  (void)r, (void)err, (void)text;
  h->manager.dialling--;
  msub__manager_changed(h);
}

/* From a random place on, so that not all nodes that know the same peers go to the same ones. */
static void dial_some(msub_host *h, bool proved) {
  uint32_t at = h->book.n ? (uint32_t)msub__rng_below(&h->rng, h->book.n) : 0;
  for (uint32_t i = 0; i < h->book.n && h->n_peers + h->manager.dialling < h->o.min_peers && h->manager.dialling < MSUB__HOST_MIN_DIALS; i++) {
    const msub__book_entry *e = h->book.entries[(at + i) % h->book.n];
    msub__race r = { .id = e->id, .hinted = true, .done = over };
    msub_bytes id = msub_peer_id_bytes(&r.id);
    if (e->proved != proved || msub__peers_find(h, id) || msub__race_under_way(h, id)) continue;
    msub__race_from_book(h, &r, true);
    if (msub__race_begin(h, &r) == MSUB_OK) h->manager.dialling++;
  }
}

/* Those first that were there once. */
static void dial_known(msub_host *h) {
  dial_some(h, true);
  dial_some(h, false);
}

/* ---- when ---- */

static bool over_high(const msub_host *h) { return h->o.high_water > 0 && h->inbound + h->outbound > h->o.high_water; }

static void fired(msub__timer *t) {
  msub_host *h = MSUB__OF(t, msub_host, manager.timer);
  if (h->stopping) return;
  if (over_high(h)) trim(h);
  if (h->n_peers < h->o.min_peers) dial_known(h);
  if (over_high(h) || h->n_peers < h->o.min_peers)
    msub__timer_start(h->wheel, t, msub__deadline(h->now.mono_ns, MSUB__HOST_MANAGE_NS));
}

void msub__manager_changed(msub_host *h) {
  if (h->stopping || msub__timer_running(&h->manager.timer) || (!over_high(h) && h->n_peers >= h->o.min_peers)) return;
  msub__timer_start(h->wheel, &h->manager.timer, msub__deadline(h->now.mono_ns, MSUB__HOST_MANAGE_NS));
}

void msub__manager_init(msub_host *h) {
  msub__timer_init(&h->manager.timer, fired);
}

void msub__manager_fini(msub_host *h) {
  if (h->wheel) msub__timer_stop(h->wheel, &h->manager.timer);
}
