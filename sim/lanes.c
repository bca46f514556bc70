/* sim/lanes.c: what waits for the uplink or for an agreement, by urgency. */
#include "sim/sim.h"

static const unsigned order[MSUB__SIM_LANES] = { MSUB__SIM_HELLO, MSUB_LANE_CONTROL, MSUB_LANE_OWN, MSUB_LANE_FORWARD,
                                                 MSUB_LANE_GOSSIP };

bool msub__sim_lanes_fit(const msub__sim_lanes *l, const size_t bounds[MSUB_LANES], unsigned lane, size_t bytes) {
  if (!l || l->q[lane].n == 0) return true;
  return l->bytes[lane] <= bounds[lane] && bytes <= bounds[lane] - l->bytes[lane];
}

bool msub__sim_lanes_push(msub__sim_lanes *l, const msub_mem *m, unsigned lane, msub__sim_packet *p) {
  if (l->q[lane].item == 0) msub__ring_init(&l->q[lane], sizeof p);
  msub__sim_packet **at = msub__ring_push(&l->q[lane], m);
  if (!at) return false;
  *at = p;
  l->bytes[lane] += msub__sim_frame(p->wire);
  return true;
}

msub__sim_packet *msub__sim_lanes_next(msub__sim_lanes *l, bool hello_only) {
  for (unsigned i = 0; i < (hello_only ? 1u : MSUB__SIM_LANES); i++) {
    msub__ring *q = &l->q[order[i]];
    if (q->n == 0) continue;
    msub__sim_packet *p = *(msub__sim_packet **)msub__ring_front(q);
    msub__ring_pop(q);
    l->bytes[order[i]] -= msub__sim_frame(p->wire);
    return p;
  }
  return NULL;
}

size_t msub__sim_lanes_bytes(const msub__sim_lanes *l) {
  size_t sum = 0;
  for (unsigned i = 0; i < MSUB__SIM_LANES; i++) sum += l->bytes[i];
  return sum;
}

size_t msub__sim_lanes_withdraw(msub__sim_lanes *l, msub_sim *s, msub_bytes id, unsigned *count) {
  size_t bytes = 0;
  for (unsigned i = 0; i < MSUB_LANES; i++) {
    for (uint32_t left = l->q[i].n; left > 0; left--) {
      msub__sim_packet *p = *(msub__sim_packet **)msub__ring_front(&l->q[i]);
      msub__ring_pop(&l->q[i]);
      if ((p->flags & MSUB__SIM_PARTS) && p->n == 1 && !p->ctl && msub_bytes_eq(msub_id(p->u.one), id)) {
        size_t n = msub__sim_frame(p->wire);
        l->bytes[i] -= n;
        bytes += n;
        ++*count;
        msub__sim_packet_free(s, p);
        continue;
      }
      msub__sim_packet **at = msub__ring_push(&l->q[i], &s->mem); /* where there was one before */
      MSUB__INVARIANT(at);
      *at = p;
    }
  }
  return bytes;
}

void msub__sim_lanes_fini(msub__sim_lanes *l, msub_sim *s) {
  for (unsigned i = 0; i < MSUB__SIM_LANES; i++) {
    for (; l->q[i].n; msub__ring_pop(&l->q[i]))
      msub__sim_packet_free(s, *(msub__sim_packet **)msub__ring_front(&l->q[i]));
    msub__ring_fini(&l->q[i], &s->mem);
  }
  msub__free(&s->mem, l, sizeof *l);
}
