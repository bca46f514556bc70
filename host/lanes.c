#include <string.h>
#include "base/assert.h"
#include "host/lanes.h"
#include "meshsub/rpc.h"

#define MESSAGE_TAG 0x12u
#define ORDER_N (MSUB_LANES + 1)
static const unsigned order[ORDER_N] = { MSUB__LANE_HELLO, MSUB_LANE_CONTROL, MSUB_LANE_OWN,
                                         MSUB_LANE_FORWARD, MSUB_LANE_GOSSIP };

static size_t frame_size(size_t wire) { return wire + msub_varint_size(wire); }

/* ---- references ---- */

static const msub_msg *const *msgs_of(const msub__ref *r) {
  return r->n == 1 ? &r->msgs.one : (const msub_msg *const *)r->msgs.many;
}

static msub_rpc view(const msub__ref *r) {
  return (msub_rpc){ .msgs = msgs_of(r), .n_msgs = r->n, .ctl = r->ctl, .wire_size = r->wire };
}

static bool hold(msub__ref *r, const msub_mem *m, const msub_rpc *rpc) {
  *r = (msub__ref){ .n = (uint32_t)rpc->n_msgs, .wire = (uint32_t)rpc->wire_size };
  if (rpc->n_msgs > 1) {
    r->msgs.many = msub__zalloc(m, rpc->n_msgs, sizeof *r->msgs.many);
    if (!r->msgs.many) return false;
    for (size_t i = 0; i < rpc->n_msgs; i++) r->msgs.many[i] = msub_msg_hold(rpc->msgs[i]);
  } else if (rpc->n_msgs == 1) {
    r->msgs.one = msub_msg_hold(rpc->msgs[0]);
  }
  if (rpc->ctl) r->ctl = msub_ctl_hold(rpc->ctl);
  return true;
}

static void release(msub__ref *r, const msub_mem *m, msub_shared *sh) {
  if (r->n == 1) {
    msub_msg_drop(sh, r->msgs.one);
  } else if (r->n > 1) {
    for (uint32_t i = 0; i < r->n; i++) msub_msg_drop(sh, r->msgs.many[i]);
    msub__free(m, r->msgs.many, r->n * sizeof *r->msgs.many);
  }
  msub_ctl_drop(sh, r->ctl);
}

/* ---- queues ---- */

void msub__lanes_init(msub__lanes *l) {
  memset(l, 0, sizeof *l);
  for (unsigned i = 0; i < ORDER_N; i++) msub__ring_init(&l->q[i], sizeof(msub__ref));
}

/* Drops the front of a lane; dropped may be NULL. */
static void drop_front(msub__lanes *l, unsigned lane, const msub_mem *m, msub_shared *sh,
                       msub__lanes_dropped dropped, void *ud) {
  msub__ref r = *(msub__ref *)msub__ring_front(&l->q[lane]);
  msub__ring_pop(&l->q[lane]);
  l->bytes[lane] -= frame_size(r.wire);
  if (dropped) {
    msub_rpc rpc = view(&r);
    dropped(ud, &rpc);
  }
  release(&r, m, sh);
}

/* Tells and gives back an RPC that stands in no ring. */
static void drop_ref(msub__ref *r, const msub_mem *m, msub_shared *sh, msub__lanes_dropped dropped,
                     void *ud) {
  msub_rpc rpc = view(r);
  if (dropped) dropped(ud, &rpc);
  release(r, m, sh);
}

static void end_active(msub__lanes *l, const msub_mem *m, msub_shared *sh) {
  release(&l->active, m, sh);
  l->active_n = l->active_at = 0;
}

static void drop_all(msub__lanes *l, unsigned lane, const msub_mem *m, msub_shared *sh,
                     msub__lanes_dropped dropped, void *ud) {
  while (l->q[lane].n > 0) drop_front(l, lane, m, sh, dropped, ud);
}

void msub__lanes_drop(msub__lanes *l, const msub_mem *m, msub_shared *sh, msub__lanes_dropped dropped,
                      void *ud) {
  if (l->active_n > 0) {
    drop_ref(&l->active, m, sh, l->active_lane == MSUB__LANE_HELLO ? NULL : dropped, ud);
    l->active_n = l->active_at = 0;
  }
  if (l->again_n > 0) {
    drop_ref(&l->again, m, sh, dropped, ud);
    l->again_n = 0;
  }
  for (unsigned i = 0; i < ORDER_N; i++)
    drop_all(l, order[i], m, sh, order[i] == MSUB__LANE_HELLO ? NULL : dropped, ud);
}

void msub__lanes_fini(msub__lanes *l, const msub_mem *m, msub_shared *sh) {
  msub__lanes_drop(l, m, sh, NULL, NULL);
  for (unsigned i = 0; i < ORDER_N; i++) msub__ring_fini(&l->q[i], m);
}

void msub__lanes_restart(msub__lanes *l, const msub_mem *m, msub_shared *sh) {
  if (l->active_n > 0 && l->active_lane == MSUB__LANE_HELLO) {
    end_active(l, m, sh);
  } else if (l->active_n > 0) {
    MSUB__INVARIANT(l->again_n == 0); /* it goes before anything that has no hello */
    l->again = l->active;
    l->again_lane = l->active_lane;
    l->again_n = l->active_n;
    l->active_n = l->active_at = 0;
  }
  drop_all(l, MSUB__LANE_HELLO, m, sh, NULL, NULL);
  memset(l->flying, 0, sizeof l->flying);
}

void msub__lanes_trim(msub__lanes *l, const msub_mem *m) {
  for (unsigned i = 0; i < ORDER_N; i++) {
    if (l->q[i].n == 0) msub__ring_fini(&l->q[i], m);
  }
}

size_t msub__lanes_queued(const msub__lanes *l) {
  size_t sum = l->active_n - l->active_at + l->again_n;
  for (unsigned i = 0; i < ORDER_N; i++) sum += l->bytes[i];
  return sum;
}

void msub__lanes_by_lane(const msub__lanes *l, size_t bytes[MSUB_LANES]) {
  memcpy(bytes, l->bytes, MSUB_LANES * sizeof *bytes);
  if (l->active_n > 0 && l->active_lane < MSUB_LANES) bytes[l->active_lane] += l->active_n - l->active_at;
  if (l->again_n > 0 && l->again_lane < MSUB_LANES) bytes[l->again_lane] += l->again_n;
}

/* ---- bounds ---- */

/* What counts against the lane's bound. */
static size_t held(const msub__lanes *l, unsigned lane) {
  bool counts_flying = lane == MSUB_LANE_FORWARD || lane == MSUB_LANE_GOSSIP;
  return l->bytes[lane] + (counts_flying ? l->flying[lane] : 0);
}

static bool fits_lane(const msub__lanes *l, const msub__lanes_bounds *b, unsigned lane, size_t size) {
  if (l->q[lane].n == 0) return true; /* an empty lane takes one of any size */
  size_t now = held(l, lane);
  return now <= b->bytes[lane] && size <= b->bytes[lane] - now;
}

/* BY_LANE: this lane and the less urgent ones share their bounds. */
static bool fits_below(const msub__lanes *l, const msub__lanes_bounds *b, unsigned lane, size_t size) {
  size_t bound = 0, now = 0;
  for (unsigned i = lane; i < MSUB_LANES; i++) {
    bound += b->bytes[i];
    now += held(l, i);
  }
  return now <= bound && size <= bound - now;
}

bool msub__lanes_fits(const msub__lanes *l, const msub__lanes_bounds *b, unsigned lane, const msub_rpc *rpc) {
  size_t size = frame_size(rpc->wire_size);
  if (lane >= MSUB_LANES || fits_lane(l, b, lane, size)) return true;
  return b->rule[lane] == MSUB_OVERFLOW_BY_LANE && fits_below(l, b, lane, size);
}

static bool make_room(msub__lanes *l, const msub_mem *m, msub_shared *sh, const msub__lanes_bounds *b,
                      unsigned lane, size_t size, msub__lanes_dropped dropped, void *ud) {
  if (b->rule[lane] == MSUB_OVERFLOW_DROP_OLDEST) {
    while (!fits_lane(l, b, lane, size)) drop_front(l, lane, m, sh, dropped, ud);
    return true;
  }
  if (b->rule[lane] != MSUB_OVERFLOW_BY_LANE) return false;
  for (unsigned i = MSUB_LANES - 1; i > lane; i--) {
    while (l->q[i].n > 0 && !fits_below(l, b, lane, size)) drop_front(l, i, m, sh, dropped, ud);
  }
  return fits_below(l, b, lane, size);
}

msub__lanes_answer msub__lanes_push(msub__lanes *l, const msub_mem *m, msub_shared *sh,
                                    const msub__lanes_bounds *b, unsigned lane, const msub_rpc *rpc,
                                    msub__lanes_dropped dropped, void *ud) {
  MSUB__INVARIANT(lane <= MSUB__LANE_HELLO && rpc->wire_size > 0 && rpc->wire_size < UINT32_MAX);
  size_t size = frame_size(rpc->wire_size);
  if (!msub__lanes_fits(l, b, lane, rpc) && !make_room(l, m, sh, b, lane, size, dropped, ud)) {
    return b->rule[lane] == MSUB_OVERFLOW_DISCONNECT ? MSUB__LANES_TOO_SLOW : MSUB__LANES_FULL;
  }
  msub__ref r;
  if (!hold(&r, m, rpc)) return MSUB__LANES_NOMEM;
  msub__ref *slot = msub__ring_push(&l->q[lane], m);
  if (!slot) {
    release(&r, m, sh);
    return MSUB__LANES_NOMEM;
  }
  *slot = r;
  l->bytes[lane] += size;
  return MSUB__LANES_TAKEN;
}

/* ---- taking back ---- */

static bool is_only(const msub__ref *r, msub_bytes id) {
  return r->n == 1 && !r->ctl && msub_bytes_eq(msub_id(r->msgs.one), id);
}

unsigned msub__lanes_withdraw(msub__lanes *l, const msub_mem *m, msub_shared *sh, msub_bytes id) {
  unsigned n = 0;
  for (unsigned lane = MSUB_LANE_OWN; lane < MSUB_LANES; lane++) {
    msub__ring *q = &l->q[lane];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q->n; i++) {
      msub__ref *r = msub__ring_at(q, i);
      if (is_only(r, id)) {
        l->bytes[lane] -= frame_size(r->wire);
        release(r, m, sh);
        n++;
      } else {
        if (kept < i) *(msub__ref *)msub__ring_at(q, kept) = *r;
        kept++;
      }
    }
    q->n = kept; /* the places behind are free */
  }
  if (l->again_n > 0 && is_only(&l->again, id)) {
    release(&l->again, m, sh);
    l->again_n = 0;
    n++;
  }
  return n;
}

/* ---- writing ---- */

size_t msub__lanes_pending(const msub__lanes *l, bool all) {
  if (all) return msub__lanes_queued(l);
  size_t n = l->bytes[MSUB__LANE_HELLO];
  if (l->active_n > 0 && l->active_lane == MSUB__LANE_HELLO) n += l->active_n - l->active_at;
  return n;
}

static void begin(msub__lanes *l, msub__ref r, unsigned lane) {
  l->active = r;
  l->active_lane = lane;
  l->active_n = frame_size(r.wire);
  l->active_at = 0;
}

/* Begins the next RPC. */
static void activate(msub__lanes *l) {
  for (unsigned i = 0; i < ORDER_N; i++) {
    unsigned lane = order[i];
    if (lane == MSUB_LANE_CONTROL && l->again_n > 0) {
      begin(l, l->again, l->again_lane);
      l->again_n = 0;
      return;
    }
    if (l->q[lane].n == 0) continue;
    begin(l, *(msub__ref *)msub__ring_front(&l->q[lane]), lane);
    msub__ring_pop(&l->q[lane]);
    l->bytes[lane] -= l->active_n;
    return;
  }
}

/* A window of the frame's bytes, [skip, skip + room), that is being copied. */
typedef struct cursor {
  uint8_t *dst;
  size_t skip, room;
} cursor;

static void put(cursor *c, const uint8_t *p, size_t n) {
  if (c->skip >= n) {
    c->skip -= n;
    return;
  }
  p += c->skip;
  n -= c->skip;
  c->skip = 0;
  if (n > c->room) n = c->room;
  memcpy(c->dst, p, n);
  c->dst += n;
  c->room -= n;
}

static void copy_frame(const msub__ref *r, cursor *c) {
  uint8_t head[1 + MSUB_FRAME_PREFIX_MAX];
  put(c, head, msub_varint_put(head, r->wire));
  const msub_msg *const *msgs = msgs_of(r);
  for (uint32_t i = 0; i < r->n && c->room > 0; i++) {
    head[0] = MESSAGE_TAG;
    put(c, head, 1 + msub_varint_put(head + 1, msgs[i]->wire_n));
    put(c, msub_wire(msgs[i]), msgs[i]->wire_n);
  }
  if (r->ctl && c->room > 0) put(c, r->ctl->wire, r->ctl->wire_n);
  MSUB__INVARIANT(c->room == 0);
}

void msub__lanes_pull(msub__lanes *l, const msub_mem *m, msub_shared *sh, uint8_t *dst, size_t n) {
  while (n > 0) {
    if (l->active_n == 0) activate(l);
    MSUB__INVARIANT(l->active_n > l->active_at);
    size_t left = l->active_n - l->active_at, k = n < left ? n : left;
    cursor c = { dst, l->active_at, k };
    copy_frame(&l->active, &c);
    l->active_at += k;
    dst += k;
    n -= k;
    if (l->active_lane < MSUB_LANES) l->flying[l->active_lane] += k;
    if (k == left) end_active(l, m, sh);
  }
}

void msub__lanes_sent(msub__lanes *l) { memset(l->flying, 0, sizeof l->flying); }
