/* sim/link.c: what travels: packets, latency, loss, bandwidth, and what becomes of an RPC where it arrives.
 *
 *   send ─▶ (lanes ─▶ uplink) ─▶ latency ─▶ RPC ─▶ (downlink ─▶ TAKE) ─▶ engine     (where bandwidth is limited) */
#include "sim/sim.h"
#include <string.h>

/* ---- packets ---- */

typedef union cell { struct msub__sim_slab slab; msub__sim_packet p; } cell; /* the first one of a slab is its head */

msub__sim_packet *msub__sim_packet_new(msub_sim *s) {
  if (!s->packets) {
    cell *slab = msub__alloc(&s->mem, MSUB__SIM_SLAB_BYTES);
    if (!slab) return NULL;
    slab->slab.next = s->slabs;
    s->slabs = &slab->slab;
    for (size_t i = MSUB__SIM_SLAB_BYTES / sizeof *slab; i-- > 1;) {
      slab[i].p.next = s->packets;
      s->packets = &slab[i].p;
    }
  }
  msub__sim_packet *p = s->packets;
  s->packets = p->next;
  memset(p, 0, sizeof *p);
  return p;
}

void msub__sim_packet_free(msub_sim *s, msub__sim_packet *p) {
  if (p->flags & MSUB__SIM_BYTES) {
    msub__rc_drop(&s->mem, p->u.bytes);
  } else if (p->flags & MSUB__SIM_PARTS) {
    if (p->n == 1) msub_msg_drop(s->sh, p->u.one);
    if (p->n > 1) {
      for (uint32_t i = 0; i < p->n; i++) msub_msg_drop(s->sh, p->u.many[i]);
      msub__free(&s->mem, p->u.many, p->n * sizeof *p->u.many);
    }
    msub_ctl_drop(s->sh, p->ctl);
  }
  p->next = s->packets;
  s->packets = p;
}

msub_rpc msub__sim_view(const msub__sim_packet *p) {
  const msub_msg *const *msgs = p->n > 1 ? (const msub_msg *const *)p->u.many : &p->u.one;
  return (msub_rpc){ .msgs = msgs, .n_msgs = p->n, .ctl = p->ctl, .wire_size = p->wire };
}

void msub__sim_address(const msub__sim_node *n, const msub__sim_half *h, msub__sim_packet *p) {
  p->from = n->no;
  p->to = h->peer;
  p->from_half = (uint32_t)(h - n->halves);
  p->half = h->peer_half;
  p->conn = h->conn;
  if (h->outbound) p->flags |= MSUB__SIM_DIALLER;
}

/* ---- links ---- */

msub_sim_link msub__sim_link(const msub__sim_node *n, uint32_t to) {
  const msub_sim *s = n->sim;
  msub_sim_link l = s->o.link;
  if (s->o.link_of) s->o.link_of(s->o.ud, n->no, to, &l);
  if (l.latency_ns < s->o.latency_floor_ns) l.latency_ns = s->o.latency_floor_ns;
  return l;
}

uint64_t msub__sim_latency(msub__sim_node *n, const msub_sim_link *l) {
  if (l->jitter_ns == 0) return l->latency_ns;
  uint64_t more = l->jitter_ns < UINT32_MAX ? msub__sim_below(n->sim, n, MSUB__SIM_RNG_LINK, (uint32_t)l->jitter_ns + 1)
                  : l->jitter_ns < UINT64_MAX ? msub__sim_draw(n->sim, n, MSUB__SIM_RNG_LINK) % (l->jitter_ns + 1) : 0;
  return msub__sat_add_u64(l->latency_ns, more);
}

uint64_t msub__sim_wire_ns(size_t bytes, uint64_t bytes_s) {
  uint64_t whole = bytes / bytes_s, rest = bytes % bytes_s;
  uint64_t part = rest <= UINT64_MAX / MSUB_SIM_S ? rest * MSUB_SIM_S / bytes_s : MSUB_SIM_S;
  return msub__sat_add_u64(msub__sat_mul_u64(whole, MSUB_SIM_S), part);
}

/* On its way: behind what went before. */
static void fly(msub__sim_node *n, msub__sim_half *h, msub__sim_kind k, msub__sim_packet *p, uint64_t latency) {
  uint64_t at = msub__deadline(n->sim->now.mono_ns, latency);
  if (at < h->last) at = h->last;
  h->last = at;
  if (!msub__sim_push(n->sim, at, n->no, h->peer, k, (uint64_t)(uintptr_t)p)) msub__sim_packet_free(n->sim, p);
}

void msub__sim_tell(msub__sim_node *n, msub__sim_half *h, msub__sim_kind k, msub__sim_packet *p, uint64_t later) {
  msub_sim_link l = msub__sim_link(n, h->peer);
  msub__sim_address(n, h, p);
  fly(n, h, k, p, msub__sat_add_u64(msub__sim_latency(n, &l), later));
}

/* `later`: what the uplink takes. */
static void transmit(msub__sim_node *n, msub__sim_half *h, msub__sim_packet *p, uint64_t later) {
  msub_sim *s = n->sim;
  msub_sim_link l = msub__sim_link(n, h->peer);
  uint64_t latency = msub__sat_add_u64(msub__sim_latency(n, &l), later);
  s->counts.sent++;
  n->traffic.rpcs_out++;
  n->traffic.bytes_out += msub__sim_frame(p->wire);
  if (l.loss_ppm && !(p->flags & MSUB__SIM_KEEP) && msub__sim_below(s, n, MSUB__SIM_RNG_LINK, 1000000) < l.loss_ppm) {
    s->counts.lost++;
    if (!msub__sim_self(n, msub__deadline(s->now.mono_ns, latency), MSUB__SIM_LOST, (uint64_t)(uintptr_t)p))
      msub__sim_packet_free(s, p);
    return;
  }
  uint8_t bit = (uint8_t)(1u << p->k);
  if (h->fresh & bit) p->flags |= MSUB__SIM_FIRST;
  h->fresh &= (uint8_t)~bit;
  p->stream = h->aux ? h->aux->st[p->k].stream : 0;
  fly(n, h, MSUB__SIM_RPC, p, latency);
}

/* ---- sending ---- */

static msub__sim_net *net_of(msub__sim_node *n) {
  if (n->net) return n->net;
  n->net = msub__zalloc(&n->sim->mem, 1, sizeof *n->net);
  if (!n->net) {
    msub__sim_nomem(n->sim);
    return NULL;
  }
  msub__ring_init(&n->net->line, sizeof(uint32_t));
  return n->net;
}

static bool node_fits(const msub__sim_node *n, size_t bytes) {
  size_t bound = n->c->o.up_queue, now = n->net ? n->net->up_bytes : 0;
  return now <= bound && bytes <= bound - now;
}

static int queue(msub__sim_node *n, msub__sim_half *h, msub__sim_packet *p, bool limited) {
  msub_sim *s = n->sim;
  msub__sim_aux *a = msub__sim_aux_of(n, h);
  if (!a || (limited && !net_of(n))) return MSUB_ERR_LIMIT;
  if (!a->lanes[p->k]) a->lanes[p->k] = msub__zalloc(&s->mem, 1, sizeof(msub__sim_lanes));
  size_t size = msub__sim_frame(p->wire);
  bool keep = p->flags & MSUB__SIM_KEEP;
  if (!a->lanes[p->k] || (!keep && !msub__sim_lanes_fit(a->lanes[p->k], n->c->o.lane_bytes, p->lane, size)))
    return MSUB_ERR_LIMIT;
  if (limited && !keep && !node_fits(n, size)) return MSUB_ERR_LIMIT;
  if (!msub__sim_lanes_push(a->lanes[p->k], &s->mem, p->lane, p)) return MSUB_ERR_LIMIT;
  if (limited) {
    n->net->up_bytes += size;
    msub__sim_up_wants(n, h);
  }
  return MSUB_OK;
}

int msub__sim_send(msub__sim_node *n, uint32_t half, unsigned k, msub__sim_packet *p) {
  msub__sim_half *h = &n->halves[half];
  const msub__sim_stream *st = h->aux ? &h->aux->st[k] : NULL;
  const msub__sim_lanes *l = h->aux ? h->aux->lanes[k] : NULL;
  bool limited = n->c->o.up_bytes_s != 0;
  int err = MSUB_ERR_LIMIT;
  p->k = (uint8_t)k;
  if (n->hello) {
    p->lane = MSUB__SIM_HELLO;
    p->flags |= MSUB__SIM_KEEP;
  }
  if (h->state == MSUB__SIM_UP && !(st && st->dead)) {
    msub__sim_address(n, h, p);
    bool waits = st && st->waits && !n->hello;
    if (limited || waits || (l && msub__sim_lanes_bytes(l))) {
      err = queue(n, h, p, limited);
    } else {
      transmit(n, h, p, 0);
      err = MSUB_OK;
    }
  }
  if (err != MSUB_OK) n->sim->counts.refused++;
  return err;
}

bool msub__sim_room(const msub__sim_node *n, uint32_t half, unsigned k, msub_lane lane, size_t bytes) {
  const msub__sim_half *h = &n->halves[half];
  const msub__sim_stream *st = h->aux ? &h->aux->st[k] : NULL;
  bool limited = n->c->o.up_bytes_s != 0;
  if (h->state != MSUB__SIM_UP || (st && st->dead)) return true; /* it would wait for ever */
  if (!limited && !(st && st->waits)) return true;
  size_t size = msub__sim_frame(bytes);
  return msub__sim_lanes_fit(h->aux ? h->aux->lanes[k] : NULL, n->c->o.lane_bytes, lane, size) &&
      (!limited || node_fits(n, size));
}

unsigned msub__sim_withdraw(msub__sim_node *n, uint32_t half, unsigned k, msub_bytes id) {
  msub__sim_half *h = &n->halves[half];
  unsigned count = 0;
  if (h->state != MSUB__SIM_UP || !h->aux || !h->aux->lanes[k]) return 0;
  size_t bytes = msub__sim_lanes_withdraw(h->aux->lanes[k], n->sim, id, &count);
  if (n->c->o.up_bytes_s) n->net->up_bytes -= bytes;
  n->sim->counts.withdrawn += count;
  return count;
}

/* ---- the uplink ---- */

void msub__sim_up_wants(msub__sim_node *n, msub__sim_half *h) {
  msub__sim_aux *a = msub__sim_aux_of(n, h);
  msub__sim_net *net = net_of(n);
  if (!a || !net || a->waiting) return;
  uint32_t *at = msub__ring_push(&net->line, &n->sim->mem);
  if (!at) {
    msub__sim_nomem(n->sim);
    return;
  }
  *at = (uint32_t)(h - n->halves);
  a->waiting = true;
  if (!net->busy) msub__sim_uplink(n);
}

static bool lanes_want(const msub__sim_aux *a, const msub__sim_half *h) {
  for (unsigned k = 0; k < h->n_pairs; k++) {
    const msub__sim_lanes *l = a->lanes[k];
    if (l && (a->st[k].waits ? l->bytes[MSUB__SIM_HELLO] : msub__sim_lanes_bytes(l))) return true;
  }
  return false;
}

/* The next packet of a half: sessions in turn. */
static msub__sim_packet *pull(msub__sim_aux *a, const msub__sim_half *h) {
  for (unsigned i = 0; i < h->n_pairs; i++) {
    unsigned k = (a->turn + i) % h->n_pairs;
    msub__sim_packet *p = a->lanes[k] ? msub__sim_lanes_next(a->lanes[k], a->st[k].waits) : NULL;
    if (!p) continue;
    a->turn = (uint8_t)((k + 1) % h->n_pairs);
    return p;
  }
  return NULL;
}

/* Sends what is next of this half; the bytes on the wire, 0: nothing. */
static size_t send_one(msub__sim_node *n, msub__sim_half *h) {
  msub__sim_aux *a = h->aux;
  bool x = msub__sim_x_wants(n, h);
  if (x && (a->x_next || !lanes_want(a, h))) {
    a->x_next = false;
    return msub__sim_x_send(n, h);
  }
  a->x_next = x;
  msub__sim_packet *p = pull(a, h);
  if (!p) return 0;
  size_t size = msub__sim_frame(p->wire);
  n->net->up_bytes -= size;
  transmit(n, h, p, msub__sim_wire_ns(size, n->c->o.up_bytes_s));
  return size;
}

void msub__sim_uplink(msub__sim_node *n) {
  msub__sim_net *net = n->net;
  if (!net) return;
  net->busy = false;
  while (net->line.n) {
    uint32_t half = *(uint32_t *)msub__ring_front(&net->line);
    msub__ring_pop(&net->line);
    msub__sim_half *h = &n->halves[half];
    if (h->state != MSUB__SIM_UP || !h->aux || !h->aux->waiting) continue;
    h->aux->waiting = false;
    size_t size = send_one(n, h);
    if (size == 0) continue;
    net->busy = true;
    uint64_t until = msub__deadline(n->sim->now.mono_ns, msub__sim_wire_ns(size, n->c->o.up_bytes_s));
    msub__sim_self(n, until, MSUB__SIM_UPLINK, n->lives);
    if (lanes_want(h->aux, h) || msub__sim_x_wants(n, h)) msub__sim_up_wants(n, h);
    return;
  }
}

void msub__sim_flush(msub__sim_node *n, msub__sim_half *h) {
  if (n->c->o.up_bytes_s) {
    if (lanes_want(h->aux, h)) msub__sim_up_wants(n, h);
    return;
  }
  for (msub__sim_packet *p; (p = pull(h->aux, h));) transmit(n, h, p, 0);
}

/* ---- losses ---- */

void msub__sim_lost(msub__sim_node *n, msub__sim_packet *p) {
  msub_sim *s = n->sim;
  const msub__sim_half *h = msub__sim_half_of(n, p, true);
  if (h && n->e && (p->flags & MSUB__SIM_PARTS)) {
    msub_rpc rpc = msub__sim_view(p);
    (void)msub_dropped(n->e, msub__sim_session(h, p->k), &rpc, MSUB_R_LOST, &s->now);
    msub__sim_touch(n);
  }
  msub__sim_packet_free(s, p);
}

/* ---- arriving ---- */

uint64_t msub__sim_down_until(msub__sim_node *n, size_t bytes) {
  msub__sim_net *net = net_of(n);
  if (!net) return n->sim->now.mono_ns;
  if (net->down_free < n->sim->now.mono_ns) net->down_free = n->sim->now.mono_ns;
  return net->down_free = msub__deadline(net->down_free, msub__sim_wire_ns(bytes, n->c->o.down_bytes_s));
}

void msub__sim_arrived(msub__sim_node *n, msub__sim_packet *p) {
  msub_sim *s = n->sim;
  if (n->c->o.down_bytes_s == 0) {
    msub__sim_take(n, p);
    return;
  }
  s->counts.steps++;
  msub__sim_half *h = msub__sim_half_of(n, p, false);
  msub__sim_net *net = net_of(n);
  if (!h || !net) {
    msub__sim_packet_free(s, p);
    return;
  }
  size_t size = msub__sim_frame(p->wire), bound = n->c->o.down_queue;
  if (net->down_bytes && (net->down_bytes > bound || size > bound - net->down_bytes) && !(p->flags & MSUB__SIM_KEEP)) {
    s->counts.lost_down++;
    if (p->flags & MSUB__SIM_FIRST) h->in_first |= (uint8_t)(1u << p->k);
    msub_sim_link l = msub__sim_link(n, p->from);
    uint64_t at = msub__deadline(s->now.mono_ns, msub__sim_latency(n, &l));
    if (!msub__sim_push(s, at, n->no, p->from, MSUB__SIM_LOST, (uint64_t)(uintptr_t)p)) msub__sim_packet_free(s, p);
    return;
  }
  net->down_bytes += size;
  p->lane = (uint8_t)n->lives; /* whose lane it was counts no more */
  if (!msub__sim_self(n, msub__sim_down_until(n, size), MSUB__SIM_TAKE, (uint64_t)(uintptr_t)p))
    msub__sim_packet_free(s, p);
}

/* A frame that the engine did not take: the stream it came on is reset. */
static void reset(msub__sim_node *n, msub__sim_half *h, const msub__sim_packet *p) {
  msub_sim *s = n->sim;
  msub__sim_aux *a = msub__sim_aux_of(n, h);
  msub__sim_packet *r = msub__sim_packet_new(s);
  s->counts.resets++;
  (void)msub_session_inbound_gone(n->e, msub__sim_session(h, p->k), &s->now);
  if (!a || !r) {
    if (r) msub__sim_packet_free(s, r);
    msub__sim_nomem(s);
    return;
  }
  a->st[p->k].in_reset = (uint16_t)(p->stream + 1);
  r->k = p->k;
  r->stream = p->stream;
  msub__sim_tell(n, h, MSUB__SIM_RESET, r, 0);
}

static void to_engine(msub__sim_node *n, msub__sim_half *h, const msub__sim_packet *p) {
  msub_sim *s = n->sim;
  msub_session to = msub__sim_session(h, p->k);
  int rc;
  if (p->flags & MSUB__SIM_FIRST || h->in_first & 1u << p->k) {
    h->in_first &= (uint8_t)~(1u << p->k);
    (void)msub_session_inbound(n->e, to, &s->now);
  }
  if (p->flags & MSUB__SIM_BYTES) {
    msub_bytes frame = { p->u.bytes->bytes, p->u.bytes->n };
    while ((rc = msub_receive(n->e, to, frame, &s->now)) == MSUB_MORE) {}
  } else {
    msub_rpc rpc = msub__sim_view(p);
    if (s->o.wire) {
      msub_bytes frame = { msub__sim_encoded(s, &rpc), rpc.wire_size };
      if (!frame.p) {
        msub__sim_nomem(s);
        return;
      }
      msub__sim_compare(s, &rpc, frame);
      while ((rc = msub_receive(n->e, to, frame, &s->now)) == MSUB_MORE) {}
    } else {
      rc = msub_receive_rpc(n->e, to, &rpc, &s->now);
    }
  }
  if (rc == MSUB_ERR_MALFORMED || rc == MSUB_ERR_LIMIT) reset(n, h, p);
}

static void to_raw(msub__sim_node *n, const msub__sim_half *h, const msub__sim_packet *p) {
  msub_sim *s = n->sim;
  msub_bytes frame;
  if (p->flags & MSUB__SIM_BYTES) {
    frame = (msub_bytes){ p->u.bytes->bytes, p->u.bytes->n };
  } else {
    msub_rpc rpc = msub__sim_view(p);
    frame = (msub_bytes){ msub__sim_encoded(s, &rpc), rpc.wire_size };
    if (!frame.p) {
      msub__sim_nomem(s);
      return;
    }
  }
  msub__sim_call(n);
  n->c->raw.on_frame(n->c->o.ud, s, n->no, h->peer, n->c->ids[msub__sim_mine(h, p->k)].id[0], frame);
  msub__sim_back(n);
}

void msub__sim_take(msub__sim_node *n, msub__sim_packet *p) {
  msub_sim *s = n->sim;
  size_t size = msub__sim_frame(p->wire);
  if (n->c->o.down_bytes_s && n->net && p->lane == (uint8_t)n->lives) n->net->down_bytes -= size;
  msub__sim_half *h = msub__sim_half_of(n, p, false);
  const msub__sim_stream *st = h && h->aux ? &h->aux->st[p->k] : NULL;
  bool goes = h && p->k < h->n_pairs && (n->e ? msub__sim_session(h, p->k).v != 0 : n->up);
  if (goes && st && st->in_reset == p->stream + 1) goes = false;
  /* sent along with a refused id */
  if (goes && s->o.negotiate && !(st && st->in_ok && st->in_stream == p->stream)) goes = false;
  if (!goes) {
    s->counts.steps++;
    msub__sim_packet_free(s, p);
    return;
  }
  s->counts.rpcs++;
  s->counts.bytes += size;
  n->traffic.rpcs_in++;
  n->traffic.bytes_in += size;
  if (n->e) {
    to_engine(n, h, p);
    msub__sim_touch(n);
  } else {
    to_raw(n, h, p);
  }
  msub__sim_packet_free(s, p);
}
