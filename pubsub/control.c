/* pubsub/control.c: control parts as routers read them, in bounded portions: a long list comes in several calls. */
#include "pubsub/engine.h"

#define ENTRIES 32u
#define IDS 256u
#define PX 32u
struct msub__control_scratch {
  msub_ctl_entry e[ENTRIES];
  msub_bytes ids[IDS];
  msub_px px[PX];
  uint32_t n, n_ids, n_px;
};

void msub__control_fini(msub_engine *e) {
  msub__free(msub__mem(e), e->work->control_scratch, sizeof *e->work->control_scratch);
  e->work->control_scratch = NULL;
}

/* more: the entries go on in the next call. */
static void flush(msub_engine *e, unsigned ri, uint32_t slot, bool more) {
  struct msub__control_scratch *x = e->work->control_scratch;
  msub_ctl c = { .refs = 1, .n = x->n, .e = x->e };
  MSUB__CALL(e, ri, control, msub__session_handle(e, ri, slot), &c, more);
  x->n = x->n_ids = x->n_px = 0;
}

static msub_ctl_entry *entry(msub_engine *e, unsigned ri, uint32_t slot, const msub_ctl_entry *like) {
  struct msub__control_scratch *x = e->work->control_scratch;
  if (x->n == ENTRIES) flush(e, ri, slot, true);
  msub_ctl_entry *at = &x->e[x->n++];
  *at = *like;
  at->ids = &x->ids[x->n_ids];
  at->px = &x->px[x->n_px];
  at->n_ids = 0;
  at->n_px = 0;
  return at;
}

static void take_ids(msub_engine *e, unsigned ri, uint32_t slot, const msub_ctl_entry *like, msub_ids ids) {
  struct msub__control_scratch *x = e->work->control_scratch;
  msub_ctl_entry *at = entry(e, ri, slot, like);
  msub_bytes id;
  while (msub_ids_next(&ids, &id)) {
    if (id.n == 0 || id.n > MSUB_MAX_ID) { /* no message of ours has it */
      MSUB__COUNT(e, ids_over_limit);
      continue;
    }
    if (x->n_ids == IDS) {
      flush(e, ri, slot, true);
      at = entry(e, ri, slot, like);
    }
    x->ids[x->n_ids++] = id;
    at->n_ids++;
  }
}

static void take_px(msub_engine *e, unsigned ri, uint32_t slot, const msub_ctl_entry *like, msub_px_iter px) {
  struct msub__control_scratch *x = e->work->control_scratch;
  msub_ctl_entry *at = entry(e, ri, slot, like);
  msub_px one;
  while (x->n_px < PX && msub_px_next(&px, &one)) { /* the rest is more than any peer may suggest */
    x->px[x->n_px++] = one;
    at->n_px++;
  }
}

void msub__control(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes frame) {
  if (!msub__need_work(e)) return;
  if (!e->work->control_scratch) e->work->control_scratch = msub__zalloc(msub__mem(e), 1, sizeof *e->work->control_scratch);
  if (!e->work->control_scratch) {
    MSUB__LOGE(e, MSUB_LOG_ERROR, "no memory to read control messages");
    return;
  }
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &part) != MSUB_P_END) {
    bool named = part.kind == MSUB_P_IHAVE || part.kind == MSUB_P_GRAFT || part.kind == MSUB_P_PRUNE; /* others set no topic */
    msub_ctl_entry like = { .topic_name = named && part.has_topic ? msub__intern_find(&e->sh->names, &e->sh->key, part.topic) : 0 };
    switch (part.kind) {
    case MSUB_P_IHAVE: like.kind = MSUB_C_IHAVE; take_ids(e, ri, slot, &like, part.ids); break;
    case MSUB_P_IWANT: like.kind = MSUB_C_IWANT; take_ids(e, ri, slot, &like, part.ids); break;
    case MSUB_P_IDONTWANT: like.kind = MSUB_C_IDONTWANT; take_ids(e, ri, slot, &like, part.ids); break;
    case MSUB_P_GRAFT: like.kind = MSUB_C_GRAFT; entry(e, ri, slot, &like); break;
    case MSUB_P_PRUNE:
      like.kind = MSUB_C_PRUNE;
      like.backoff_s = part.backoff_s;
      take_px(e, ri, slot, &like, part.px);
      break;
    default: break;
    }
  }
  flush(e, ri, slot, false);
}
