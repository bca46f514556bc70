/* routers/gossipsub/iwant.c: a peer asks for messages; the cache answers, a few times each, and once in an RPC. */
#include "routers/gossipsub/gossipsub.h"

#define SLOTS 512u /* of `asked`; at most half of them are used: as many ids as a portion has */

/* Hashes of the ids that this portion has named so far. */
typedef struct asked {
  uint32_t n;
  uint64_t slot[SLOTS]; /* 0: free */
} asked;

/* Whether the id was named before; notes it. Beyond what it holds nothing is noted: such an id is served as often as it is named. */
static bool named_before(msub_router *r, asked *a, msub_bytes id) {
  uint64_t h = msub_r_hash(r, id) | 1;
  uint32_t i = (uint32_t)(h >> 32) % SLOTS;
  for (; a->slot[i]; i = (i + 1) % SLOTS)
    if (a->slot[i] == h) return true;
  if (a->n == SLOTS / 2) return false;
  a->slot[i] = h;
  a->n++;
  return false;
}

static bool names_several(const msub_ctl *c) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < c->n && n < 2; i++)
    if (c->e[i].kind == MSUB_C_IWANT) n += c->e[i].n_ids < 2 ? c->e[i].n_ids : 2;
  return n > 1;
}

static void serve(msub_router *r, msub_session s, const msub_ctl *c, asked *a) {
  const msub__gs *g = msub__gs_of(r);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  bool first = true;
  const msub_gossipsub_iwant *o = &msub__gs_opts(r)->iwant;
  msub_serving how = { .bytes = g->parity ? 0 : o->bytes };
  size_t *left = NULL;
  if (o->advertised_only && !g->parity) how.may = msub__gs_was_advertised;
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->e[i].kind != MSUB_C_IWANT) continue;
    for (uint32_t k = 0; k < c->e[i].n_ids; k++) {
      msub_bytes id = c->e[i].ids[k];
      unsigned times = msub__gs_opts(r)->retransmissions;
      if (!g->parity && ss->looked++ >= MSUB__GS_LOOKED) {
        ss->looked = MSUB__GS_LOOKED;
        return;
      }
      if (id.n == 0 || id.n > MSUB_MAX_ID || msub__gs_unwanted(r, s, ss, id)) continue;
      if (a && named_before(r, a, id)) {
        if (!g->parity) continue;
        times = 1; /* the reference counts it, too: it has been asked for before, so this is one time too many */
      }
      if (first) msub__gs_retry(r, s);
      first = false;
      if (how.bytes && !left) {
        if (!(left = msub__gs_served_left(r, s))) return;
        how.left = *left;
      }
      how.max_times = times;
      (void)msub_r_serve_within(r, s, id, &how);
      if (left) *left = how.left;
    }
  }
}

void msub__gs_iwant(msub_router *r, msub_session s, const msub_ctl *c) {
  if (!msub__gs_score_is(r, s, msub__gs_thresholds_of(r)->gossip)) return;
  if (names_several(c)) {
    asked a = { 0 };
    serve(r, s, c, &a);
  } else serve(r, s, c, NULL);
}
