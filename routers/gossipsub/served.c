/* routers/gossipsub/served.c: what IWANT may have. Bytes are counted by peer, not session, so that a new connection brings no new budget;
 * the table lasts a heartbeat, and an engine that nobody asks has none. What was advertised is kept by (peer, topic), too, one bit for each heartbeat
 * in which the peer heard an IHAVE: it named whatever was in the gossip windows then, so no id need be kept. The bits stand in the link, and in
 * a table once the link is gone, so that whoever comes back is served what it heard of before. */
#include "base/table.h"
#include "routers/gossipsub/gossipsub.h"

/* ---- bytes ---- */

typedef struct served { uint64_t key; size_t left; } served;
struct msub__gs_served {
  msub__table index;
  served *at;
  uint32_t n, cap;
};
static bool same_peer(const void *ctx, uint32_t i, const void *key) {
  return ((const struct msub__gs_served *)ctx)->at[i].key == *(const uint64_t *)key;
}

/* Room for one more; false: no memory. */
static bool grow(const msub_mem *mem, void **p, uint32_t n, uint32_t *cap, size_t item) {
  if (n < *cap) return true;
  uint32_t more = *cap ? *cap * 2 : 8;
  void *q = msub__realloc(mem, *p, *cap * item, more * item);
  if (!q) return false;
  *p = q;
  *cap = more;
  return true;
}

size_t *msub__gs_served_left(msub_router *r, msub_session s) {
  msub__gs *g = msub__gs_of(r);
  const msub_mem *mem = msub_r_mem(r);
  if (!g->served) g->served = msub__zalloc(mem, 1, sizeof *g->served);
  struct msub__gs_served *d = g->served;
  if (!d) return NULL;
  uint64_t key = msub_r_hash(r, msub_r_peer_id(r, msub_r_session_peer(r, s)));
  uint32_t i = msub__table_find(&d->index, key, same_peer, d, &key);
  if (i != MSUB__NONE) return &d->at[i].left;
  if (d->n == MSUB__GS_SERVED || msub__table_reserve(&d->index, mem) != MSUB_OK) return NULL;
  void *p = d->at;
  bool ok = grow(mem, &p, d->n, &d->cap, sizeof *d->at);
  d->at = p;
  if (!ok) return NULL;
  int rc = msub__table_insert(&d->index, mem, key, d->n);
  MSUB__INVARIANT(rc == MSUB_OK);
  d->at[d->n] = (served){ key, msub__gs_opts(r)->iwant.bytes };
  return &d->at[d->n++].left;
}

static void served_free(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  if (!g->served) return;
  msub__table_fini(&g->served->index, msub_r_mem(r));
  msub__free(msub_r_mem(r), g->served->at, g->served->cap * sizeof *g->served->at);
  msub__free(msub_r_mem(r), g->served, sizeof *g->served);
  g->served = NULL;
}

/* ---- what was advertised ---- */

typedef struct advert {
  uint64_t print; /* of peer and topic */
  uint64_t beats; /* bit k: k heartbeats ago */
  uint32_t offered; /* heartbeats that an offer still holds */
} advert;
struct msub__gs_adverts {
  msub__table index;
  advert *at;
  uint32_t n, cap;
};
static uint64_t print_of(const msub_router *r, msub_session s, uint32_t name) {
  const uint64_t k[2] = { msub_r_hash(r, msub_r_peer_id(r, msub_r_session_peer(r, s))), name };
  return msub_r_hash(r, (msub_bytes){ (const uint8_t *)k, sizeof k });
}
static bool same(const void *ctx, uint32_t i, const void *key) {
  return ((const struct msub__gs_adverts *)ctx)->at[i].print == *(const uint64_t *)key;
}

static bool on(const msub_router *r) { return msub__gs_opts(r)->iwant.advertised_only && !msub__gs_of(r)->parity; }

/* Bit k: an IHAVE k heartbeats ago. The heartbeat of the first bit is kept with them, modulo 2^16: a link that was silent for as many hears of
 * its old bits once more, for `history` heartbeats, which costs a few answers and no walk over all links. */
static unsigned of_link(const msub__gs *g, const msub__gs_link *l) {
  uint16_t since = (uint16_t)(g->tick - l->heard_at);
  return since < 8 ? (unsigned)l->heard << since & 255u : 0;
}
static msub__gs_link *link_of(const msub_router *r, msub_session s, msub_topic t) {
  return msub__gs_opts(r)->history <= 8 ? msub_r_link(r, s, t) : NULL; /* a longer one does not fit there */
}
static uint64_t windows(const msub_router *r) {
  const unsigned history = msub__gs_opts(r)->history;
  return history < 64 ? (UINT64_C(1) << history) - 1 : UINT64_MAX;
}

/* The pair's place in the table, made if need be; NULL: no room. */
static advert *kept(msub_router *r, msub_session s, uint32_t name) {
  msub__gs *g = msub__gs_of(r);
  const msub_mem *mem = msub_r_mem(r);
  if (!g->adverts) g->adverts = msub__zalloc(mem, 1, sizeof *g->adverts);
  struct msub__gs_adverts *d = g->adverts;
  if (!d) return NULL;
  uint64_t print = print_of(r, s, name);
  uint32_t i = msub__table_find(&d->index, print, same, d, &print);
  if (i == MSUB__NONE) {
    if (d->n == MSUB__GS_ADVERTS || msub__table_reserve(&d->index, mem) != MSUB_OK) return NULL;
    void *p = d->at;
    bool ok = grow(mem, &p, d->n, &d->cap, sizeof *d->at);
    d->at = p;
    if (!ok) return NULL;
    int rc = msub__table_insert(&d->index, mem, print, i = d->n++);
    MSUB__INVARIANT(rc == MSUB_OK);
    d->at[i] = (advert){ .print = print };
  }
  return &d->at[i];
}

bool msub__gs_advertised(msub_router *r, msub_session s, msub_topic t) {
  if (!on(r)) return true;
  const msub__gs *g = msub__gs_of(r);
  msub__gs_link *l = link_of(r, s, t);
  if (l) {
    l->heard = (uint8_t)(of_link(g, l) | 1);
    l->heard_at = (uint16_t)g->tick;
    return true;
  }
  advert *a = kept(r, s, msub_r_name(r, t));
  if (a) a->beats |= 1;
  return a != NULL;
}

bool msub__gs_offered(msub_router *r, msub_session s, msub_topic t) {
  if (!on(r)) return true;
  advert *a = kept(r, s, msub_r_name(r, t));
  if (a) a->offered = msub__gs_opts(r)->history;
  return a != NULL;
}

void msub__gs_advertised_unlink(msub_router *r, msub_session s, msub_topic t, const msub__gs_link *l) {
  uint64_t heard = of_link(msub__gs_of(r), l) & windows(r);
  advert *a = heard ? kept(r, s, msub_r_name(r, t)) : NULL;
  if (a) a->beats |= heard;
}

/* A message of this age came before the last `age` heartbeats; each of the older `gossip` of them could name it. */
bool msub__gs_was_advertised(msub_router *r, msub_session s, uint32_t name, unsigned age) {
  const msub__gs *g = msub__gs_of(r);
  const struct msub__gs_adverts *d = g->adverts;
  const msub__gs_link *l = link_of(r, s, msub_r_topic_of(r, name));
  uint64_t beats = l ? of_link(g, l) & windows(r) : 0, print = d ? print_of(r, s, name) : 0;
  uint32_t i = d ? msub__table_find(&d->index, print, same, d, &print) : MSUB__NONE;
  if (i != MSUB__NONE && d->at[i].offered) return true;
  if (i != MSUB__NONE) beats |= d->at[i].beats;
  if (age == MSUB_AGE_UNKNOWN) return beats != 0;
  unsigned gossip = msub__gs_opts(r)->history_gossip;
  for (unsigned k = age > gossip ? age - gossip : 0; k < age && k < 64; k++)
    if (beats >> k & 1) return true;
  return false;
}

static void adverts_free(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  if (!g->adverts) return;
  msub__table_fini(&g->adverts->index, msub_r_mem(r));
  msub__free(msub_r_mem(r), g->adverts->at, g->adverts->cap * sizeof *g->adverts->at);
  msub__free(msub_r_mem(r), g->adverts, sizeof *g->adverts);
  g->adverts = NULL;
}

void msub__gs_served_heartbeat(msub_router *r) {
  served_free(r);
  struct msub__gs_adverts *d = msub__gs_of(r)->adverts;
  if (!d) return;
  const uint64_t within = windows(r);
  for (uint32_t i = 0; i < d->n;) {
    advert *a = &d->at[i];
    a->beats = a->beats << 1 & within;
    if (a->offered) a->offered--;
    if (a->beats || a->offered) {
      i++;
      continue;
    }
    (void)msub__table_remove(&d->index, a->print, i);
    if (i != --d->n) {
      *a = d->at[d->n];
      (void)msub__table_update(&d->index, a->print, d->n, i);
    }
  }
  if (!d->n) adverts_free(r);
}

void msub__gs_served_fini(msub_router *r) {
  served_free(r);
  adverts_free(r);
}
